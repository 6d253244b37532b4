/** A new policy and the flows that are open: each is decided on anew, by what was known when it was opened. */
import { ipv4 } from '../../base/ip-address.ts';
import type { Flow, FlowFacts } from '../../proxy/flows/flow.ts';
import type { FlowBook } from '../../proxy/flows/flow-book.ts';
import type { GuestPolicy, PolicyTarget } from '../../proxy/policy/guest-policy.ts';
import type { Steps } from '../../proxy/sliced-work.ts';
import { parseAddress } from '../../services/address-text.ts';
import type { PolicyEngine } from '../../services/policy/policy-engine.ts';

const LOOPBACK = ipv4(0x7f00_0001);

/** A flow in each step, as long as no other policy is in force, which has its own. */
export function* decideAnew(
  engine: PolicyEngine,
  policy: GuestPolicy,
  book: FlowBook,
): Steps<void> {
  if (engine.mode === 'observe') return;
  for (const flow of book.after(0, Number.POSITIVE_INFINITY)) {
    yield;
    if (policy.engine !== engine) return;
    if (!flow.isOpen) continue;
    const facts = flow.source.describeFlow();
    const target = openTarget(flow, facts);
    if (target === undefined || mayGoOn(engine, policy, flow, facts, target)) continue;
    policy.counts.add('flows-ended');
    book.close(flow.id, 'denied-by-policy');
  }
}

/** By every name that it was allowed by: of those that its guest has stated each, of those that it had asked for any. */
function mayGoOn(
  engine: PolicyEngine,
  policy: GuestPolicy,
  { owner, names: asked }: Flow,
  { via, verdict, link, names = asked }: FlowFacts,
  target: PolicyTarget,
): boolean {
  const known = owner === undefined ? [] : policy.callsOf(owner);
  const calls = link === undefined ? known : [...known, link];
  const allows = (by: readonly string[]): boolean =>
    policy.judgeBy(engine, calls, target, by).verdict.action === 'allow';
  if (via !== 'net') return allows([]);
  const stated = verdict?.allStated ?? [];
  return stated.length === 0 ? allows(names) : stated.every((name) => allows([name]));
}

/** @returns undefined for what no policy decides: what the host has opened, and DNS */
export function openTarget({ protocol }: Flow, facts: FlowFacts): PolicyTarget | undefined {
  const { openedBy, remote, service } = facts;
  const dialled = facts.insteadOf ?? facts.dialled;
  if (openedBy !== 'guest' || service === 'dns' || service === 'mux' || service === 'ssh') {
    return undefined;
  }
  if (protocol === 'unix') {
    if (remote.path === undefined) return undefined;
    return { protocol: 'tcp', kind: 'host-loopback', remote: LOOPBACK, address: LOOPBACK, port: 0 };
  }
  if (remote.address === undefined) return undefined;
  const port = protocol === 'icmp' ? 0 : (remote.port ?? 0);
  const address = (dialled === undefined ? undefined : parseAddress(dialled)) ?? remote.address;
  const isLocal = isLoopback(address.toString());
  const kind = service !== undefined ? 'gateway' : isLocal ? 'host-loopback' : 'outside';
  return { protocol, kind, remote: remote.address, address, port };
}

const isLoopback = (text: string): boolean => text === '::1' || text.startsWith('127.');
