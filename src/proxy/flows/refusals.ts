/** Destinations that are refused: counted, for all and for their guest, and reported. */
import type { Counters } from '../../base/counters.ts';
import { addressFromWords, type IpAddress } from '../../base/ip-address.ts';
import type { Guest } from '../../stack/guest.ts';
import type { RefusedWhy } from '../address-map.ts';
import type {
  Block,
  BlockedWhy,
  DestinationProtocol,
  RefusalAnswer,
  RefusedDestination,
} from './destination.ts';
import type { GateDenial } from './flow-gate.ts';

const ANSWERED: ReadonlySet<RefusedWhy> = new Set([
  ...(['link-local', 'metadata', 'own-listener', 'host', 'not-global'] as const),
]);
const QUIET: ReadonlySet<RefusedWhy> = new Set(['multicast', 'broadcast', 'unspecified']);

export class Refusals {
  /** By protocol and reason. */
  private readonly counts: Counters<string>;
  /** Called for each, but for those of multicasts and broadcasts. */
  private readonly onBlock: ((block: Block) => void) | undefined;
  /** By reason. Made once, so that refusing allocates nothing. */
  private readonly made = { tcp: byAnswer(), udp: byAnswer(), icmp: byAnswer() };

  constructor(counts: Counters<string>, onBlock: ((block: Block) => void) | undefined) {
    this.counts = counts;
    this.onBlock = onBlock;
  }

  report(block: Block): void {
    this.onBlock?.(block);
  }

  /** Counted, and reported by whoever knows more. */
  add(
    owner: Guest,
    protocol: DestinationProtocol,
    why: BlockedWhy,
    answer: RefusalAnswer,
  ): RefusedDestination {
    const refused = this.refusedFor(protocol, why, answer);
    this.counts.add(refused.count);
    owner.refusals.add(refused.count);
    return refused;
  }

  /** For what the address is of which the words at `at` are. */
  addAddress(
    owner: Guest,
    protocol: DestinationProtocol,
    words: Int32Array,
    at: number,
    port: number,
    why: RefusedWhy,
  ): RefusedDestination {
    const refused = this.add(owner, protocol, why, ANSWERED.has(why) ? 'prohibited' : 'none');
    if (this.onBlock !== undefined && !QUIET.has(why)) {
      this.onBlock({ owner, protocol, remote: addressFromWords(words, at), port, why });
    }
    return refused;
  }

  /** The gate has denied a flow. */
  addGate(
    owner: Guest,
    protocol: DestinationProtocol,
    remote: IpAddress,
    port: number,
    { why, text, isPending }: GateDenial,
  ): RefusedDestination {
    if (isPending === true) {
      return { kind: 'refused', why, count: `${protocol}-${why}`, answer: 'none' };
    }
    const refused = this.add(owner, protocol, why, 'prohibited');
    this.report({ owner, protocol, remote, port, why, rule: text });
    return refused;
  }

  private refusedFor(
    protocol: DestinationProtocol,
    why: BlockedWhy,
    answer: RefusalAnswer,
  ): RefusedDestination {
    const of = this.made[protocol][answer];
    const known = of.get(why);
    if (known !== undefined) return known;
    const made: RefusedDestination = { kind: 'refused', why, count: `${protocol}-${why}`, answer };
    of.set(why, made);
    return made;
  }
}

const byAnswer = (): Record<RefusalAnswer, Map<BlockedWhy, RefusedDestination>> => ({
  prohibited: new Map(),
  refused: new Map(),
  none: new Map(),
});
