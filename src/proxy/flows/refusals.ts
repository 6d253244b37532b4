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
  /** Made once, so that refusing allocates nothing. */
  private readonly byAddress = {
    tcp: new Map<RefusedWhy, RefusedDestination>(),
    udp: new Map<RefusedWhy, RefusedDestination>(),
    icmp: new Map<RefusedWhy, RefusedDestination>(),
  };

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
    const count = `${protocol}-${why}`;
    this.count(owner, count);
    return { kind: 'refused', why, count, answer };
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
    const refused = this.ofAddress(protocol, why);
    this.count(owner, refused.count);
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

  private count(owner: Guest, count: string): void {
    this.counts.add(count);
    owner.refusals.add(count);
  }

  private ofAddress(protocol: DestinationProtocol, why: RefusedWhy): RefusedDestination {
    const known = this.byAddress[protocol].get(why);
    if (known !== undefined) return known;
    const count = `${protocol}-${why}`;
    const answer = ANSWERED.has(why) ? 'prohibited' : 'none';
    const made: RefusedDestination = { kind: 'refused', why, count, answer };
    this.byAddress[protocol].set(why, made);
    return made;
  }
}
