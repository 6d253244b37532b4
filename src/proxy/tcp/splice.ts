/** One guest connection joined to one host stream, with its identity for lists. */
import type { EvictionCandidate } from '../../base/shares/eviction-order.ts';
import type { CloseReason, FlowId, TcpFlow } from '../../stack/flow.ts';
import { type PumpContext, StreamPump } from '../stream/stream-pump.ts';

let nextSerial = 1;

export class Splice extends StreamPump<TcpFlow, CloseReason> implements EvictionCandidate<Splice> {
  chainNext: Splice | undefined = undefined;
  chainPrev: Splice | undefined = undefined;
  activitySeen: number = Number.NEGATIVE_INFINITY;
  /** Unique for the life of the process. */
  readonly serial: number = nextSerial++;
  readonly id: FlowId;
  readonly openedBy: 'guest' | 'host';

  constructor(
    context: PumpContext,
    id: FlowId,
    openedBy: 'guest' | 'host',
    whenOver: (splice: Splice) => void,
  ) {
    super(context, () => whenOver(this));
    this.id = id;
    this.openedBy = openedBy;
  }

  get activity(): number {
    return this.lastActive;
  }
}
