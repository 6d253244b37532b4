/** One guest connection joined to one host stream, and what it is called in lists. */

import type { Chained } from '../../base/chain.ts';
import type { Instant } from '../../base/time.ts';
import type { CloseReason, FlowId, TcpFlow, TcpFlowHandler } from '../../stack/flow.ts';
import { type PumpContext, StreamPump } from './stream-pump.ts';

let nextSerial = 1;

/** What splices share. */
export type SpliceContext = PumpContext;

export class Splice extends StreamPump<TcpFlow> implements TcpFlowHandler, Chained<Splice> {
  chainNext: Splice | undefined = undefined;
  chainPrev: Splice | undefined = undefined;
  /** Unique for the life of the process. */
  readonly serial: number = nextSerial++;
  readonly id: FlowId;
  readonly openedBy: 'guest' | 'host';
  private readonly whenOver: (splice: Splice) => void;

  constructor(
    context: SpliceContext,
    id: FlowId,
    openedBy: 'guest' | 'host',
    whenOver: (splice: Splice) => void,
  ) {
    super(context);
    this.id = id;
    this.openedBy = openedBy;
    this.whenOver = whenOver;
  }

  onOpen(_now: Instant, _flow: TcpFlow): void {}

  onGuestEnd(now: Instant, _flow: TcpFlow): void {
    this.onPeerEnd(now);
  }

  onClosed(_now: Instant, _flow: TcpFlow, reason: CloseReason): void {
    this.onFlowClosed(reason === 'finished');
  }

  protected override onOver(): void {
    this.whenOver(this);
  }
}
