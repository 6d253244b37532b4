/**
 * A guest's SYN, held unanswered until the proxy knows whether the host connection can be made, so
 * that a refused port is refused to the guest, and an accepted connection really exists.
 */
import type { Chained } from '../../base/chain.ts';
import { type Seq, seqAdd } from '../../base/seq.ts';
import type { Instant } from '../../base/time.ts';
import type { FlowId, RefuseReason, TcpFlow, TcpFlowHandler, TcpRequest } from '../flow.ts';
import type { Guest } from '../guest.ts';
import type { Path } from '../path.ts';
import type { Segment } from './segment.ts';

/** What the layer does for a request. */
export interface RequestOwner {
  acceptRequest(
    now: Instant,
    request: PendingRequest,
    handler: TcpFlowHandler,
  ): TcpFlow | undefined;
  refuseRequest(request: PendingRequest, reason: RefuseReason): void;
}

export class PendingRequest implements TcpRequest, Chained<PendingRequest> {
  chainNext: PendingRequest | undefined = undefined;
  chainPrev: PendingRequest | undefined = undefined;
  readonly id: FlowId;
  readonly key: Int32Array;
  readonly path: Path;
  readonly owner: Guest;
  readonly receivedAt: Instant;
  onCancelled: (() => void) | undefined = undefined;
  /** Answered, refused or cancelled. */
  settled = false;
  readonly irs: Seq;
  /** The number after the SYN and its payload. */
  readonly end: Seq;
  /** Where our own numbers start at least. */
  readonly issFrom: Seq | undefined;
  readonly window: number;
  readonly mss: number;
  readonly windowScale: number;
  readonly sackPermitted: boolean;
  readonly timestamps: boolean;
  tsVal: number;
  private readonly layer: RequestOwner;

  constructor(
    layer: RequestOwner,
    now: Instant,
    id: FlowId,
    key: Int32Array,
    path: Path,
    owner: Guest,
    syn: Segment,
    issFrom: Seq | undefined,
  ) {
    const { options } = syn;
    this.layer = layer;
    this.owner = owner;
    this.id = id;
    this.key = key;
    this.path = path;
    this.receivedAt = now;
    this.irs = syn.seq;
    this.end = seqAdd(syn.seq, syn.span);
    this.issFrom = issFrom;
    this.window = syn.window;
    this.mss = options.mss;
    this.windowScale = options.windowScale;
    this.sackPermitted = options.sackPermitted;
    this.timestamps = options.hasTimestamps;
    this.tsVal = options.tsVal;
  }

  accept(now: Instant, handler: TcpFlowHandler): TcpFlow | undefined {
    if (this.settled) return undefined;
    return this.layer.acceptRequest(now, this, handler);
  }

  refuse(_now: Instant, reason: RefuseReason): void {
    if (this.settled) return;
    this.layer.refuseRequest(this, reason);
  }

  /** Put what the SYN said into `segment`, as if it had just come. */
  replay(segment: Segment): void {
    const { options } = segment;
    options.clear();
    segment.seq = this.irs;
    segment.window = this.window;
    segment.len = 0;
    options.mss = this.mss;
    options.windowScale = this.windowScale;
    options.sackPermitted = this.sackPermitted;
    options.hasTimestamps = this.timestamps;
    options.tsVal = this.tsVal;
  }
}
