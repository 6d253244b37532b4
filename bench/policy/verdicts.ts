/** What one verdict costs, in the process itself: the engine alone, and all that a flow's destination asks. */
import { Counters } from '../../src/base/counters.ts';
import { ipv4, setWords } from '../../src/base/ip-address.ts';
import { Owner } from '../../src/base/shares/owner.ts';
import { readPolicy } from '../../src/network/policy/policy-document.ts';
import { AddressMap } from '../../src/proxy/address-map.ts';
import { Destinations } from '../../src/proxy/flows/destinations.ts';
import { GuestNames } from '../../src/proxy/flows/guest-names.ts';
import { GuestPolicy } from '../../src/proxy/policy/guest-policy.ts';
import { PolicyEngine } from '../../src/services/policy/policy-engine.ts';
import type { FlowKind } from '../../src/services/policy/rule-list.ts';
import { Guest } from '../../src/stack/guest.ts';
import { figureOf } from '../report/statistics.ts';
import { bigPolicy, DOMAIN } from './big-policy.ts';

const PINS = 10_000;
const FLOWS = 1_000;
const ROUNDS = 31;
const NET = 0xc612_0000 | 0;

function world(rules: number) {
  const owner = new Guest(1, new Owner('guest 1'), 0);
  const names = new GuestNames();
  for (let n = 0; n < PINS; n++) {
    const until = Number.POSITIVE_INFINITY;
    const [address, name] = [ipv4(NET + n), `n${n}.${DOMAIN}`];
    names.restore(owner, { address, name, until, granted: until });
  }
  const policy = new GuestPolicy({
    clock: { now: () => 0 },
    names,
    namesOf: () => ['tap:guest#1', 'tap:guest'],
    isHost: () => false,
    isPublished: () => false,
  });
  const facts = { isRegistry: () => false, isShared: () => false };
  const context = { facts, instantOf: (ms: number) => ms, hosts: [], unbound: new Set<string>() };
  const engine = PolicyEngine.of(readPolicy(bigPolicy(rules), context).rules);
  const destinations = new Destinations({
    addresses: new AddressMap({
      subnet: { address: ipv4(0xc0a8_7f00 | 0), bits: 24 },
      gateway: ipv4(0xc0a8_7f01 | 0),
      host: ipv4(0xc0a8_7ffe | 0),
    }),
    isOwnListener: () => false,
    refusals: new Counters<string>(),
    policy,
  });
  return { owner, policy, engine, destinations };
}

/** @returns the median of the rounds, in us */
function time(each: (n: number) => void): number {
  const round = (): number => {
    const began = performance.now();
    for (let n = 0; n < FLOWS; n++) each(n);
    return ((performance.now() - began) * 1_000) / FLOWS;
  };
  for (let n = 0; n < 20; n++) round(); // compiled meanwhile
  return figureOf(Array.from({ length: ROUNDS }, round))?.median ?? 0;
}

/** The rows of a table. */
export function verdictRows(): string {
  const rows: string[] = [];
  for (const rules of [100, 10_000]) {
    const { owner, policy, engine, destinations } = world(rules);
    const words = new Int32Array(4);
    const decide = (n: number): void => {
      setWords(words, ipv4(NET + ((n * 7) % PINS)));
      destinations.decide(owner, 'tcp', words, 0, 443);
    };
    const guests = ['tap:guest#1', 'tap:guest'];
    const { protocol, place }: FlowKind = { guests, protocol: 'tcp', port: 443, place: 'outside' };
    const all = Array.from({ length: FLOWS }, (_, n) => [`n${(n * 7) % PINS}.${DOMAIN}`]);
    const alone = time((n) => {
      setWords(words, ipv4(NET + ((n * 7) % PINS)));
      engine.decide({ guests, protocol, port: 443, place, names: all[n] ?? [], words, at: 0 }, 0);
    });
    const name = time((n) => {
      engine.decideName(guests, all[n]?.[0] ?? '', 0);
    });
    const without = time(decide);
    policy.replace(engine);
    const withPolicy = time(decide);
    const cells = [alone, name, without, withPolicy].map((us) => us.toFixed(2));
    rows.push(`| ${rules} | ${cells.join(' | ')} |\n`);
  }
  const head =
    '| rules, and 10,000 names | a verdict | of a name | a destination without a policy | with it |';
  return `\nMedians in us.\n\n${head}\n|---|---|---|---|---|\n${rows.join('')}`;
}
