/** One guest connection joined to one host stream. */
import type { EvictionCandidate } from '../../base/shares/eviction-order.ts';
import type { CloseReason, FlowId, TcpFlow } from '../../stack/flow.ts';
import type { Flow, FlowFacts, FlowSource } from '../flows/flow.ts';
import { type StreamOrigin, tcpFacts } from '../flows/stream-facts.ts';
import { type PumpContext, StreamPump } from '../stream/stream-pump.ts';

export class Splice
  extends StreamPump<TcpFlow, CloseReason>
  implements EvictionCandidate<Splice>, FlowSource
{
  chainNext: Splice | undefined = undefined;
  chainPrev: Splice | undefined = undefined;
  activitySeen: number = Number.NEGATIVE_INFINITY;
  readonly id: FlowId;
  /** In the book. */
  entry: Flow | undefined = undefined;
  private evicted = false;
  /** Bytes that had gone on to the host when it was denied: what is in the ring then never does. */
  private bytesBefore: number | undefined = undefined;
  private readonly origin: StreamOrigin;

  constructor(
    context: PumpContext,
    id: FlowId,
    origin: StreamOrigin,
    whenOver: (splice: Splice, why: string) => void,
  ) {
    super(context, (reason) => whenOver(this, this.why ?? reason ?? 'finished'));
    this.id = id;
    this.origin = origin;
  }

  evict(): void {
    this.evicted = true;
    this.abort();
  }

  override turnAway(words: Uint8Array | undefined): void {
    this.bytesBefore ??= (this.flow?.describe().bytesToHost ?? 0) - this.held;
    super.turnAway(words);
  }

  private get why(): string | undefined {
    if (this.bytesBefore !== undefined) return 'denied';
    return this.evicted ? 'evicted' : undefined;
  }

  describeFlow(): FlowFacts {
    const facts = tcpFacts(this.id, this.origin, this.flow, this.lastActive);
    const { bytesBefore } = this;
    return bytesBefore === undefined ? facts : { ...facts, bytesToHost: bytesBefore };
  }

  endFlow(): void {
    this.abort();
  }

  get activity(): number {
    return this.lastActive;
  }
}
