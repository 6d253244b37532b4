/** A channel as a Node stream, for people; hawser's own splices use the channel as it is. */
import { Duplex } from 'node:stream';
import type { Clock, Instant } from '../../base/time.ts';
import type { MuxChannel, MuxChannelHandler } from '../../mux/channel.ts';
import type { Destination, IpEndpoint } from '../../mux/destination.ts';
import type { ChannelEnd } from '../../mux/reason.ts';
import type { ChannelRequest } from '../../mux/request.ts';
import type { MuxSocket } from './mux-socket.ts';

/** How a channel ended, where it did not finish. */
export class MuxChannelError extends Error {
  override readonly name = 'MuxChannelError';
  readonly code: string;
  readonly reason: ChannelEnd;

  constructor(reason: ChannelEnd, text: string) {
    super(`multiplexer channel ended: ${reason}${text === '' ? '' : ` (${text})`}`);
    this.reason = reason;
    this.code = `ERR_MUX_${reason.toUpperCase().replaceAll('-', '_')}`;
  }
}

/** Emits `open` once the peer has granted the channel. */
export class ChannelStream extends Duplex implements MuxChannelHandler {
  private readonly clock: Clock;
  private channel: MuxChannel | undefined = undefined;
  private chunk: Uint8Array | undefined = undefined;
  private chunkOff = 0;
  private written: ((error?: Error | null) => void) | undefined = undefined;
  private reading = false;
  private peerEnded = false;
  private over = false;

  constructor(clock: Clock) {
    // Destroyed when the channel is finished: before, bytes may still wait for credit.
    super({ allowHalfOpen: true, autoDestroy: false });
    this.clock = clock;
  }

  /** Join a channel that was opened or accepted with this stream as its handler. */
  join(channel: MuxChannel): this {
    this.channel = channel;
    return this;
  }

  onOpen(): void {
    this.emit('open');
  }

  onReadable(): void {
    if (this.reading) this.pull();
  }

  onWritable(): void {
    this.pushOut();
  }

  onPeerEnd(): void {
    this.peerEnded = true;
    if (this.reading) this.pull();
  }

  onClosed(_now: Instant, _channel: MuxChannel, reason: ChannelEnd, text: string): void {
    this.over = true;
    if (reason === 'finished') {
      this.finishWrite();
      if (this.readableEnded) this.destroy();
      else this.once('end', () => this.destroy());
    } else this.destroy(new MuxChannelError(reason, text));
  }

  override _read(): void {
    this.reading = true;
    this.pull();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.chunk = chunk;
    this.chunkOff = 0;
    this.written = done;
    this.pushOut();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.channel?.shutdown(this.clock.now());
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.over) {
      this.over = true;
      this.channel?.abort(this.clock.now());
    }
    done(error);
  }

  private pull(): void {
    const { channel } = this;
    if (channel === undefined || this.destroyed) return;
    while (this.reading && channel.receivedLen > 0 && !this.over) {
      const run = Buffer.from(channel.readable()); // a copy: the ring is used again
      channel.release(this.clock.now(), run.length);
      this.reading = this.push(run);
    }
    if (this.peerEnded && channel.receivedLen === 0 && this.reading) {
      this.reading = false;
      this.push(null);
    }
  }

  private pushOut(): void {
    const { channel, chunk } = this;
    if (channel === undefined || chunk === undefined) return;
    const n = Math.min(channel.sendSpace, chunk.length - this.chunkOff);
    if (n > 0) channel.send(this.clock.now(), chunk, this.chunkOff, n);
    this.chunkOff += n;
    if (this.chunkOff === chunk.length) this.finishWrite();
    else channel.wantSpace(Math.min(chunk.length - this.chunkOff, 64 << 10));
  }

  private finishWrite(): void {
    const { written } = this;
    this.chunk = undefined;
    this.written = undefined;
    written?.();
  }
}

/** @returns undefined when either end takes no more channels */
export function openStream(
  socket: MuxSocket,
  clock: Clock,
  destination: Destination,
  client?: IpEndpoint,
): ChannelStream | undefined {
  const stream = new ChannelStream(clock);
  const channel = socket.open(destination, stream, client);
  return channel === undefined ? undefined : stream.join(channel);
}

/** @returns undefined when the opener has given up */
export function acceptStream(clock: Clock, request: ChannelRequest): ChannelStream | undefined {
  const stream = new ChannelStream(clock);
  const channel = request.accept(clock.now(), stream);
  return channel === undefined ? undefined : stream.join(channel);
}
