/** One flow of `IdleFlows`: what the table, the order of eviction and the book of flows have of it. */
import type { IpAddress } from '../../base/ip-address.ts';
import { NO_BYTES, plainCount } from '../../base/no-bytes.ts';
import type { EvictionCandidate } from '../../base/shares/eviction-order.ts';
import type { Instant } from '../../base/time.ts';
import type { Guest } from '../../stack/guest.ts';
import type { Flow, FlowFacts, FlowSource } from '../flows/flow.ts';
import type { TableEntry } from './idle-table.ts';

export abstract class IdleFlow<F> implements TableEntry<F>, EvictionCandidate<F>, FlowSource {
  readonly key: Int32Array;
  readonly owner: Guest;
  /** In the book. */
  entry: Flow | undefined = undefined;
  chain: F | undefined = undefined;
  older: F | undefined = undefined;
  newer: F | undefined = undefined;
  usedAt: Instant = 0;
  settled = false;
  chainNext: F | undefined = undefined;
  chainPrev: F | undefined = undefined;
  activitySeen = 0;
  bytesToHost: number = NO_BYTES;
  bytesToGuest: number = NO_BYTES;
  packetsToHost: number = NO_BYTES;
  packetsToGuest: number = NO_BYTES;

  constructor(key: Int32Array, owner: Guest) {
    this.key = key;
    this.owner = owner;
  }

  abstract readonly guest: IpAddress;

  get activity(): Instant {
    return this.usedAt;
  }

  abstract describeFlow(): FlowFacts;
  abstract endFlow(): void;
  /** It is out of the table: last call. */
  abstract close(): void;

  /** The part of its facts that is the same for all. */
  protected get traffic(): Pick<
    FlowFacts,
    'bytesToHost' | 'bytesToGuest' | 'packetsToHost' | 'packetsToGuest' | 'lastAt'
  > {
    return {
      bytesToHost: plainCount(this.bytesToHost),
      bytesToGuest: plainCount(this.bytesToGuest),
      packetsToHost: plainCount(this.packetsToHost),
      packetsToGuest: plainCount(this.packetsToGuest),
      lastAt: this.usedAt,
    };
  }
}
