/** A guest's connection whose requests of HTTP are passed on one by one: the flow is then a Node stream's. */
import type { Instant } from '../../base/time.ts';
import type { CloseReason, FlowId, TcpFlow } from '../../stack/flow.ts';
import type { FlowVerdict } from '../flows/flow.ts';
import type { AcceptedFirst, WhenSpliceOver } from '../flows/via.ts';
import type { Intake } from '../intake.ts';
import { ByteDuplex, namesOf } from '../stream/byte-duplex.ts';
import type { PumpContext } from '../stream/stream-pump.ts';
import { Splice } from '../tcp/splice.ts';
import type { HttpRelay } from './http-relay.ts';
import type { RelayClient } from './route-step.ts';

export class RelayedSplice extends Splice implements AcceptedFirst {
  private readonly relay: HttpRelay;
  private readonly client: RelayClient;
  protected readonly pump: PumpContext;
  private duplex: ByteDuplex | undefined = undefined;
  private hasEnded = false;

  constructor(
    relay: HttpRelay,
    client: RelayClient,
    context: PumpContext,
    id: FlowId,
    whenOver: WhenSpliceOver,
    verdict?: FlowVerdict,
  ) {
    super(context, id, { openedBy: 'guest', verdict }, whenOver);
    this.relay = relay;
    this.client = client;
    this.pump = context;
  }

  begin(flow: TcpFlow, _intake: Intake | undefined): void {
    this.flow = flow;
    this.passOn(flow);
  }

  override onReadable(now: Instant): void {
    if (this.duplex === undefined) super.onReadable(now);
    else {
      this.lastActive = now;
      this.duplex.onReadable();
    }
  }

  override onWritable(): void {
    if (this.duplex === undefined) super.onWritable();
    else {
      this.lastActive = this.pump.clock.now();
      this.duplex.onWritable();
    }
  }

  override onPeerEnd(now: Instant): void {
    this.hasEnded = true;
    if (this.duplex === undefined) super.onPeerEnd(now);
    else this.duplex.onPeerEnd();
  }

  override onClosed(now: Instant, flow: TcpFlow, reason: CloseReason): void {
    if (this.duplex === undefined) super.onClosed(now, flow, reason);
    else this.duplex.onClosed(now, flow, reason);
  }

  override abort(): void {
    if (this.duplex === undefined) super.abort();
    else this.duplex.destroy();
  }

  protected passOn(flow: TcpFlow): void {
    const duplex = new ByteDuplex(this.pump, namesOf(this.id));
    this.duplex = duplex;
    duplex.once('close', () => this.finish());
    this.relay.serve(duplex, this.client);
    if (this.hasEnded) duplex.onPeerEnd();
    duplex.join(flow);
  }
}
