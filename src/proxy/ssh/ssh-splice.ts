/**
 * A client of an SSH forward, joined to its channel once that is granted. Until then what the client sends is kept, up to
 * {@link EARLY_MAX}: it is read so that a client that leaves is noticed. One that has sent more is looked at now and then.
 *
 * Each direction ends by itself. A channel that goes with its connection has not ended: its client is reset, so that it
 * does not take half of an answer for all of it.
 */
import type { Chained } from '../../base/chain.ts';
import type { IpAddress } from '../../base/ip-address.ts';
import type { Clock, Instant } from '../../base/time.ts';
import type { HostStream, HostStreamOwner } from '../../native/stream/host-stream.ts';
import type { Flow, FlowEnd, FlowFacts, FlowSource } from '../flows/flow.ts';
import type { SshFailure } from './ssh-library.ts';
import type { SshChannel } from './ssh-session.ts';

const EARLY_MAX = 64 * 1024;
const NO_END: FlowEnd = { address: undefined, port: undefined };

/** How a client has ended, as the book has it. */
export type SpliceEnd = 'finished' | 'left' | 'connection-lost' | 'ended' | SshFailure;

export interface SpliceDeps {
  readonly clock: Pick<Clock, 'now'>;
  readonly publication: string;
  readonly path: string;
  /** Of the guest, where it was known. */
  readonly address: IpAddress | undefined;
  /** Called once. */
  onOver(splice: SshSplice, why: SpliceEnd): void;
}

export class SshSplice implements HostStreamOwner, FlowSource, Chained<SshSplice> {
  chainNext: SshSplice | undefined = undefined;
  chainPrev: SshSplice | undefined = undefined;
  /** In the book. */
  entry: Flow | undefined = undefined;
  /** The client sends no more. */
  hasEnded = false;
  private readonly deps: SpliceDeps;
  private readonly stream: HostStream;
  private readonly giveUp = new AbortController();
  private channel: SshChannel | undefined = undefined;
  private early: Buffer[] = [];
  private earlyLen = 0;
  private isPaused = false;
  private isWriting = false;
  private channelEnded = false;
  private channelClosed = false;
  private clientEnded = false;
  private over = false;
  private bytesToGuest = 0;
  private bytesToHost = 0;
  private lastAt: Instant;

  constructor(stream: HostStream, deps: SpliceDeps) {
    this.stream = stream;
    this.deps = deps;
    this.lastAt = deps.clock.now();
  }

  /** Aborted when there is nobody to wait for a channel. */
  get signal(): AbortSignal {
    return this.giveUp.signal;
  }

  get isWaiting(): boolean {
    return this.channel === undefined && !this.over;
  }

  start(): void {
    this.stream.start(this);
  }

  /** Whether the client has gone without having been read: nothing else shows it while it is not read. */
  get hasLeft(): boolean {
    return this.isPaused && this.isWaiting && this.stream.isPeerGone;
  }

  join(channel: SshChannel): void {
    const { stream } = channel;
    if (this.over) {
      stream.destroy();
      return;
    }
    this.channel = channel;
    stream.on('data', (chunk: Buffer) => this.onChannelBytes(stream, chunk));
    stream.on('drain', () => this.resume());
    stream.on('end', () => this.onChannelEnd());
    stream.on('close', () => this.onChannelClosed());
    stream.on('error', () => {}); // `close` follows
    let hasRoom = true;
    for (const chunk of this.early) hasRoom = stream.write(chunk);
    this.early = [];
    if (this.hasEnded) stream.end();
    else if (hasRoom) this.resume();
  }

  /** There will be no channel, or there is to be none any more. */
  end(why: SpliceEnd): void {
    if (this.over) return;
    this.stream.reset();
    this.finish(why);
  }

  endFlow(): void {
    this.end('ended');
  }

  describeFlow(): FlowFacts {
    const { publication, path, address } = this.deps;
    return {
      guest: { address, port: undefined, path },
      remote: NO_END,
      openedBy: 'host',
      via: 'ssh',
      publication,
      state: this.channel === undefined ? 'connecting' : 'active',
      bytesToHost: this.bytesToHost,
      bytesToGuest: this.bytesToGuest,
      lastAt: this.lastAt,
    };
  }

  // --- from the client ---

  onHostBytes(bytes: Uint8Array, len: number): boolean {
    const chunk = Buffer.from(bytes.subarray(0, len)); // a copy: `bytes` are borrowed
    this.lastAt = this.deps.clock.now();
    this.bytesToGuest += len;
    if (this.channel !== undefined) {
      this.isPaused = !this.channel.stream.write(chunk);
    } else {
      this.early.push(chunk);
      this.earlyLen += len;
      this.isPaused = this.earlyLen >= EARLY_MAX;
    }
    return !this.isPaused;
  }

  onHostEnd(): void {
    this.hasEnded = true;
    this.channel?.stream.end();
  }

  onHostWritten(): void {
    this.isWriting = false;
    if (this.channelEnded) this.endClient();
    else this.channel?.stream.resume();
  }

  onHostClosed(): void {
    if (this.over) return;
    this.finish(this.channelEnded && this.hasEnded ? 'finished' : 'left');
  }

  private resume(): void {
    if (!this.isPaused || this.over) return;
    this.isPaused = false;
    this.stream.resume();
  }

  // --- from the channel ---

  private onChannelBytes(channel: { pause(): unknown }, chunk: Buffer): void {
    if (this.over) return;
    this.lastAt = this.deps.clock.now();
    this.bytesToHost += chunk.length;
    if (this.stream.write(chunk)) return;
    this.isWriting = true;
    channel.pause();
  }

  private onChannelEnd(): void {
    if (this.over || this.channel === undefined) return;
    if (this.channel.connection.isLost) {
      this.end('connection-lost');
      return;
    }
    this.channelEnded = true;
    if (!this.isWriting) this.endClient();
  }

  private onChannelClosed(): void {
    if (this.over) return;
    if (!this.channelEnded) {
      this.end('connection-lost');
      return;
    }
    this.channelClosed = true;
    if (!this.isWriting) this.endClient();
  }

  /** Everything from the guest is written. */
  private endClient(): void {
    if (this.over) return;
    if (!this.clientEnded) {
      this.clientEnded = true;
      this.stream.end(); // closes it, if the client has ended too
    }
    if (this.over || !this.channelClosed) return;
    this.stream.close(); // the guest takes nothing any more
    this.finish('finished');
  }

  private finish(why: SpliceEnd): void {
    if (this.over) return;
    this.over = true;
    this.early = [];
    this.giveUp.abort();
    this.channel?.stream.destroy();
    this.deps.onOver(this, why);
  }
}
