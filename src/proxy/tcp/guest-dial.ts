/**
 * A connection to a guest for a client of a published port. A guest may have several addresses: while there is another to
 * try, the client is not read before the guest has answered, so that nothing of it is lost at one that does not.
 */

import type { IpAddress } from '../../base/ip-address.ts';
import type { Instant } from '../../base/time.ts';
import type { HostStream } from '../../native/stream/host-stream.ts';
import type { CloseReason, TcpFlow } from '../../stack/flow.ts';
import type { Intake } from '../intake.ts';
import { Splice } from './splice.ts';

/** A guest that runs answers sooner; one that is still detecting whether its address is a duplicate takes a second or two. */
export const PATIENCE_MS = 1_000;

/** An address of the guest, and the source that the guest sees there. */
export interface GuestEnd {
  readonly guest: IpAddress;
  readonly remote: IpAddress;
}

export interface PublishedClient {
  readonly stream: HostStream;
  /** The best first. */
  readonly ends: readonly GuestEnd[];
  readonly guestPort: number;
  /** Of the client; another where the guest knows that one already. */
  readonly clientPort: number;
  /** Sent to the guest before anything of the client's. */
  readonly preface: Uint8Array | undefined;
  /** The id of the port. */
  readonly publication: string;
  /** Called once, when the client has ended. */
  readonly onEnd: () => void;
}

export class GuestDial extends Splice {
  /** The guest has refused, or not answered. */
  hasFailed = false;
  isUnanswered = false;
  private whenOpen: ((now: Instant) => void) | undefined = undefined;
  private timer: NodeJS.Timeout | undefined = undefined;

  /** The client is the proxy's still. */
  get isWaiting(): boolean {
    return this.whenOpen !== undefined;
  }

  /** Join the client to `flow` once the guest answers. */
  wait(
    client: PublishedClient,
    flow: TcpFlow,
    intake: Intake | undefined,
    patienceMs: number,
  ): void {
    this.flow = flow;
    this.whenOpen = (now) => {
      this.start(now, client, flow, intake);
    };
    this.timer = setTimeout(() => {
      this.isUnanswered = true;
      this.hasFailed = true;
      this.abort();
    }, patienceMs);
    this.timer.unref();
  }

  start(now: Instant, client: PublishedClient, flow: TcpFlow, intake: Intake | undefined): void {
    const { preface, stream } = client;
    if (preface !== undefined) flow.send(now, preface, 0, preface.length);
    this.join(stream, flow, intake);
  }

  override onOpen(now: Instant): void {
    const { whenOpen } = this;
    this.whenOpen = undefined;
    clearTimeout(this.timer);
    whenOpen?.(now);
  }

  override onClosed(now: Instant, flow: TcpFlow, reason: CloseReason): void {
    this.hasFailed = this.isWaiting;
    super.onClosed(now, flow, reason);
  }

  override abort(): void {
    clearTimeout(this.timer);
    super.abort();
  }
}
