/** One HTTP/1.1 request over a `TcpFlow`, and its answer: just what the demo's file server speaks. */
import { Buffer } from 'node:buffer';
import type { Instant } from '../../base/time.ts';
import type { CloseReason, TcpFlow, TcpFlowHandler } from '../../stack/flow.ts';
import type { SeededStream } from '../seeded-stream.ts';
import { GuestError } from './embedded-guest.ts';

const MAX_HEAD_LEN = 16_384;
/** Without a byte either way. */
const STALL_MS = 15_000;

export interface ExchangeOptions {
  /** Request line and header lines, up to the empty one. */
  readonly head: string;
  readonly body: SeededStream | undefined;
  /** `bytes` are borrowed for the call. */
  readonly onBody: (bytes: Uint8Array) => void;
  readonly onSent: (bytes: number) => void;
}

export class HttpExchange implements TcpFlowHandler {
  /** Resolves when the whole answer is here. */
  readonly done: Promise<void>;
  private readonly options: ExchangeOptions;
  private resolve: () => void = () => {};
  private reject: (error: Error) => void = () => {};
  private outgoing: Uint8Array | undefined;
  private outgoingOff = 0;
  private sent = 0;
  private head: Buffer = Buffer.alloc(0);
  /** Of the body, still to come; -1 until the answer's head is complete. */
  private left = -1;
  private readonly stall: NodeJS.Timeout;
  private over = false;

  constructor(options: ExchangeOptions) {
    this.options = options;
    this.outgoing = Buffer.from(options.head);
    this.done = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    this.stall = setTimeout(() => this.fail('nothing moves'), STALL_MS);
  }

  onOpen(now: Instant, flow: TcpFlow): void {
    this.pump(now, flow);
  }

  onWritable(now: Instant, flow: TcpFlow): void {
    this.pump(now, flow);
  }

  onReadable(now: Instant, flow: TcpFlow): void {
    if (!this.over) this.stall.refresh();
    while (flow.receivedLen > 0) {
      const run = flow.readable();
      this.take(run);
      flow.release(now, run.length);
    }
    if (this.left === 0 && !this.over) this.finish(now, flow);
  }

  onPeerEnd(_now: Instant, _flow: TcpFlow): void {
    if (this.left !== 0) this.fail('the answer ended early');
  }

  onClosed(_now: Instant, _flow: TcpFlow, reason: CloseReason): void {
    if (this.left !== 0) this.fail(`the connection was ${reason}`);
  }

  fail(why: string): void {
    this.over = true;
    clearTimeout(this.stall);
    this.reject(new GuestError(why));
  }

  private finish(now: Instant, flow: TcpFlow): void {
    this.over = true;
    clearTimeout(this.stall);
    flow.shutdown(now);
    this.resolve();
  }

  private pump(now: Instant, flow: TcpFlow): void {
    if (this.over) return;
    this.stall.refresh();
    for (;;) {
      const bytes = this.outgoing;
      if (bytes === undefined) return;
      const len = Math.min(flow.sendSpace, bytes.length - this.outgoingOff);
      if (len === 0) {
        flow.wantSpace(1);
        return;
      }
      flow.send(now, bytes, this.outgoingOff, len);
      this.outgoingOff += len;
      if (this.outgoingOff < bytes.length) continue;
      if (this.sent > 0) this.options.onSent(this.sent);
      this.outgoing = this.options.body?.next();
      this.outgoingOff = 0;
      this.sent += this.outgoing?.length ?? 0;
    }
  }

  private take(bytes: Uint8Array): void {
    if (this.left >= 0) {
      this.takeBody(bytes);
      return;
    }
    this.head = Buffer.concat([this.head, bytes]);
    const end = this.head.indexOf('\r\n\r\n');
    if (end < 0) {
      if (this.head.length > MAX_HEAD_LEN) this.fail('the head of the answer has no end');
      return;
    }
    const text = this.head.toString('latin1', 0, end);
    const len = /^content-length: *(\d+)\s*$/im.exec(text)?.[1];
    if (!/^HTTP\/1\.1 200 /.test(text) || len === undefined) {
      this.fail(`the server answered ${text.split('\r\n')[0]}`);
      return;
    }
    this.left = Number(len);
    this.takeBody(this.head.subarray(end + 4));
  }

  private takeBody(bytes: Uint8Array): void {
    const part = bytes.length > this.left ? bytes.subarray(0, this.left) : bytes;
    this.left -= part.length;
    this.options.onBody(part);
  }
}
