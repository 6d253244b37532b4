/** The policy of a running network: read from its options, replaced as a whole, shown, and asked what it would do. */
import { createHash } from 'node:crypto';
import { type IpAddress, ipv4 } from '../../base/ip-address.ts';
import type { Log } from '../../base/log.ts';
import type { Clock } from '../../base/time.ts';
import {
  type PolicyBook,
  PolicyConflict,
  PolicyError,
  type PolicyProbe,
  type PolicyStateView,
  type PolicyVerdictView,
} from '../../control/policy-view.ts';
import type { AddressMap } from '../../proxy/address-map.ts';
import type { FlowBook } from '../../proxy/flows/flow-book.ts';
import { type GuestPolicy, NOT_ASKED } from '../../proxy/policy/guest-policy.ts';
import { parseAddress } from '../../services/address-text.ts';
import type { Verdict } from '../../services/policy/policy.ts';
import { PolicyEngine } from '../../services/policy/policy-engine.ts';
import type { SuffixFacts } from '../../services/policy/policy-name.ts';
import { statedName } from '../../services/sniff/host-name.ts';
import type { NetworkConfig, PolicyConfig } from '../config.ts';
import { OptionsError } from '../option-problem.ts';
import {
  HOST_TEXTS,
  type PolicyContext,
  type PolicyDocument,
  PolicyProblems,
  type ReadPolicy,
  type RuleEntry,
  readPolicy,
} from './policy-document.ts';
import { readPolicyFile } from './policy-file.ts';
import { publicSuffixes } from './public-suffixes.ts';
import { parseRuleText } from './rule-text.ts';

/** What the options say, before there is a network. */
export interface StartPolicy {
  readonly facts: SuffixFacts;
  /** Undefined: guests may go where they like. */
  readonly policy: ReadPolicy | undefined;
}

/** What documents are read with, but for the suffixes. */
export type PolicySurroundings = Omit<PolicyContext, 'facts'>;

export function surroundingsOf(
  { hostIp, leases }: Pick<NetworkConfig, 'hostIp' | 'leases'>,
  clock: Pick<Clock, 'now'>,
): PolicySurroundings {
  const bound = new Set(leases.static.flatMap((one) => (one.link ? [one.hostname] : [])));
  return {
    hosts: hostIp === undefined ? [] : [hostIp, `${hostIp}/32`],
    unbound: new Set(
      leases.static.flatMap(({ hostname }) =>
        hostname === undefined || bound.has(hostname) ? [] : [hostname],
      ),
    ),
    instantOf: (epochMs) => clock.now() + epochMs - Date.now(),
  };
}

const NO_FACTS: SuffixFacts = { isRegistry: () => false, isShared: () => false };

/** @throws OptionsError with a sentence for each problem: there is no network without the policy that was asked for */
export async function readStartPolicy(
  config: PolicyConfig,
  surroundings: PolicySurroundings,
): Promise<StartPolicy> {
  const { file, allow, deny } = config;
  if (file === undefined && allow.length + deny.length === 0) {
    return { facts: NO_FACTS, policy: undefined };
  }
  const facts = await publicSuffixes();
  let sentences = (problems: PolicyProblems): readonly string[] => problems.message.split('\n');
  try {
    const text = file === undefined ? undefined : readPolicyFile(file);
    if (text !== undefined) sentences = ({ problems }) => text.sentences(problems);
    const context = { ...surroundings, facts };
    const own = text === undefined ? undefined : readPolicy(text.value, context);
    sentences = ({ message }) => message.split('\n').map((line) => `--allow, --deny: ${line}`);
    const rules: RuleEntry[] = [
      ...deny.map((rule) => ({ deny: fieldsOf(rule) })),
      ...allow.map((rule) => ({ allow: fieldsOf(rule) })),
    ];
    const before: PolicyDocument = own?.document ?? {
      default: allow.length > 0 ? 'deny' : 'allow',
    };
    const document = { ...before, rules: [...rules, ...(before.rules ?? [])] };
    return { facts, policy: readPolicy(document, context) };
  } catch (error) {
    if (!(error instanceof PolicyProblems)) throw error;
    throw new OptionsError([...sentences(error)]);
  }
}

function fieldsOf(text: string): NonNullable<RuleEntry['allow']> {
  const parsed = parseRuleText(text);
  if ('value' in parsed) return parsed.value;
  throw new PolicyProblems([{ path: [], why: `${text}: ${parsed.problem}` }]);
}

export interface LivePolicyDeps {
  readonly start: StartPolicy;
  readonly policy: GuestPolicy;
  readonly book: FlowBook;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
  /** Where something is denied, guests do not reach each other either. */
  readonly isolate: (isIsolated: boolean) => void;
  readonly addresses: Pick<AddressMap, 'kindOf'>;
  readonly surroundings: PolicySurroundings;
  /** What rules may call the guest that somebody calls so. */
  readonly callsOf: (guest: string) => readonly string[];
}

export class LivePolicy implements PolicyBook {
  private readonly deps: LivePolicyDeps;
  private facts: Promise<SuffixFacts> | undefined = undefined;
  private current: ReadPolicy | undefined = undefined;
  private generation = 0;

  constructor(deps: LivePolicyDeps) {
    this.deps = deps;
    const { policy, facts } = deps.start;
    if (policy === undefined) return;
    this.facts = Promise.resolve(facts);
    this.enforce(policy);
  }

  state(): PolicyStateView {
    const { generation, current } = this;
    const document = current === undefined ? null : { ...current.document };
    const hash = createHash('sha256').update(JSON.stringify(document)).digest('hex');
    return { generation, hash, document, warnings: current?.warnings ?? [] };
  }

  async replace(
    value: unknown,
    isExpected: (now: PolicyStateView) => boolean = () => true,
  ): Promise<PolicyStateView> {
    this.facts ??= publicSuffixes();
    const facts = await this.facts;
    const read = readPolicy(value, { ...this.deps.surroundings, facts });
    const now = this.state();
    if (!isExpected(now)) {
      throw new PolicyConflict(
        `The policy is another by now: its generation is ${now.generation}.`,
      );
    }
    this.enforce(read);
    return this.state();
  }

  test({ guest, destination, protocol }: PolicyProbe): PolicyVerdictView {
    const { policy, addresses } = this.deps;
    const { engine } = policy;
    const asked = parseDestination(destination, protocol);
    const guests = guest === '' ? [] : this.deps.callsOf(guest);
    const { port } = asked;
    if ('name' in asked) {
      if (engine === undefined) return FREE;
      const remote = ANYWHERE;
      const kind = HOST_TEXTS.includes(asked.name) ? 'host-loopback' : 'outside';
      const target = { protocol, kind, remote, address: remote, port } as const;
      const { verdict } = policy.judgeBy(engine, guests, target, [asked.name]);
      const literal = policy.judgeBy(engine, guests, target, []).verdict;
      const isAsked =
        kind === 'host-loopback' ||
        engine.decideName(guests, asked.name, this.deps.clock.now()) === 'allow';
      if (verdict.action === 'allow' && !isAsked) {
        return { action: 'deny', rule: NOT_ASKED, index: null, bestEffort: true };
      }
      return viewOf(verdict, verdict.action !== 'allow' && literal.action === 'allow');
    }
    const { address } = asked;
    const kind = addresses.kindOf(wordsOf(address), 0);
    if (kind !== 'outside' && kind !== 'gateway' && kind !== 'host-loopback') {
      return { ...FREE, action: 'deny', rule: `${kind}: no guest may go there` };
    }
    if (engine === undefined) return FREE;
    const target = { protocol, kind, remote: address, address, port } as const;
    return viewOf(policy.judgeBy(engine, guests, target, []).verdict, false);
  }

  private enforce(read: ReadPolicy | undefined): void {
    const { policy, isolate, log } = this.deps;
    const engine = read === undefined ? undefined : new PolicyEngine(read.rules);
    this.current = read;
    this.generation++;
    policy.replace(engine);
    isolate(engine?.mode === 'enforce' && !engine.opensGuests);
    if (engine !== undefined) this.decideAnew(engine);
    for (const warning of read?.warnings ?? []) log.warn({ warning }, 'a rule of the policy');
    const { generation } = this;
    log.info({ generation, rules: read?.rules.rules.length ?? 0 }, 'policy in force');
  }

  /** Of open flows that guests have opened, by what was known when they were. */
  private decideAnew(engine: PolicyEngine): void {
    if (engine.mode === 'observe') return;
    const { policy, book } = this.deps;
    for (const flow of book.after(0, Number.POSITIVE_INFINITY)) {
      const { protocol, owner } = flow;
      const { openedBy, remote, dialled, service } = flow.source.describeFlow();
      if (owner === undefined || openedBy !== 'guest' || protocol === 'unix') continue;
      if (service !== undefined || remote.address === undefined) continue;
      const port = protocol === 'icmp' ? 0 : (remote.port ?? 0);
      const actual = dialled === undefined ? undefined : parseAddress(dialled);
      const address = actual ?? remote.address;
      const kind = isLoopback(dialled) ? 'host-loopback' : 'outside';
      const target = { protocol, kind, remote: remote.address, address, port } as const;
      const { verdict } = policy.judgeBy(engine, policy.callsOf(owner), target, flow.names);
      if (verdict.action === 'allow') continue;
      policy.counts.add('flows-ended');
      book.close(flow.id, 'denied-by-policy');
    }
  }
}

const FREE: PolicyVerdictView = {
  ...{ action: 'allow', rule: 'there is no policy', index: null, bestEffort: false },
};
/** An address of the Internet that no rule is for (RFC 5737). */
const ANYWHERE = ipv4(0xc000_0201 | 0);

const wordsOf = ({ a, b, c, d }: IpAddress): Int32Array => Int32Array.of(a, b, c, d);

const viewOf = ({ action, text, rule }: Verdict, bestEffort: boolean): PolicyVerdictView => ({
  ...{ action, rule: text, bestEffort },
  index: rule < 0 ? null : rule,
});

type Destination = { readonly port: number } & (
  | { readonly name: string }
  | { readonly address: IpAddress }
);

function parseDestination(text: string, protocol: PolicyProbe['protocol']): Destination {
  const [, bracketed, plain = '', digits] =
    /^(?:\[([^\]]+)\]|([^:[\]]+|[0-9a-f:.]+))(?::(\d{1,5}))?$/i.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = protocol === 'icmp' ? 0 : Number(digits ?? '0');
  const address = parseAddress(host);
  const name = address === undefined ? statedName(host) : undefined;
  const isSound = protocol === 'icmp' || (port >= 1 && port <= 65_535);
  if (isSound && address !== undefined) return { address, port };
  if (isSound && name !== undefined) return { name, port };
  throw new PolicyError(
    `${JSON.stringify(text.slice(0, 80))} must be NAME:PORT, IP:PORT or [IPV6]:PORT`,
  );
}

const isLoopback = (text: string | undefined): boolean =>
  text === '::1' || text?.startsWith('127.') === true;
