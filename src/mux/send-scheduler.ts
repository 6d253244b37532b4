/**
 * Decides which channel's bytes go to the link next.
 *
 * Channels with bytes and credit take turns of one quantum; what a turn took too much or too little
 * is settled with the next (deficit round robin). Those that had nothing to send until
 * now go before those with a backlog, though never two in a row while a backlog waits: a keystroke
 * passes a bulk transfer, and many small senders do not starve it (after RFC 8290 §4.2). A channel
 * on its own writes frames as large as the peer accepts.
 *
 * Bytes are copied once, straight to the link's slab, when they are sent while no other channel waits, or
 * by an application that waited for its turn (`wantSpace`): it is asked for them when the turn begins.
 */
import { copyBytes } from '../base/copy-bytes.ts';
import type { Channel } from './channel.ts';
import { DATA_HEADER_LEN, emitDataHeader } from './frame.ts';
import type { MuxStats } from './stats.ts';
import type { MuxWriter } from './writer.ts';

/** Less than this at the end of a slab is not worth a frame of its own. */
const SMALLEST_CUT = 2048;

class ChannelQueue {
  private head: Channel | undefined = undefined;
  private tail: Channel | undefined = undefined;

  get empty(): boolean {
    return this.head === undefined;
  }

  push(channel: Channel): void {
    channel.nextInData = undefined;
    if (this.tail === undefined) this.head = channel;
    else this.tail.nextInData = channel;
    this.tail = channel;
  }

  unshift(channel: Channel): void {
    channel.nextInData = this.head;
    this.head = channel;
    if (this.tail === undefined) this.tail = channel;
  }

  shift(): Channel | undefined {
    const first = this.head;
    if (first === undefined) return undefined;
    this.head = first.nextInData;
    if (this.head === undefined) this.tail = undefined;
    first.nextInData = undefined;
    return first;
  }
}

export class SendScheduler {
  /** Largest payload of one frame. */
  maxPayload: number;
  private readonly writer: MuxWriter;
  private readonly stats: MuxStats;
  private readonly quantum: number;
  private readonly fresh: ChannelQueue = new ChannelQueue();
  private readonly backlog: ChannelQueue = new ChannelQueue();
  private backlogTurn = false;
  /** The channel whose application is being asked for bytes, and where its turn ends (as `txSent`). */
  private turn: Channel | undefined = undefined;
  private turnEnd = 0;

  constructor(writer: MuxWriter, stats: MuxStats, quantum: number, maxPayload: number) {
    this.writer = writer;
    this.stats = stats;
    this.quantum = quantum;
    this.maxPayload = maxPayload;
  }

  /** No channel waits. */
  get idle(): boolean {
    return this.fresh.empty && this.backlog.empty;
  }

  /** Whether `channel` may write ahead of all others. */
  mayWriteNow(channel: Channel): boolean {
    return this.turn === channel || (this.turn === undefined && this.idle);
  }

  /** Whether `channel`, being asked for bytes, has had its share. */
  turnIsOver(channel: Channel): boolean {
    return this.turn === channel && channel.txSent >= this.turnEnd && !this.idle;
  }

  /** @param sparse the channel had nothing to send before */
  enqueue(channel: Channel, sparse: boolean): void {
    if (channel.inData) return;
    channel.inData = true;
    (sparse ? this.fresh : this.backlog).push(channel);
  }

  /** Send bytes of a channel whose `tx` is empty while no other waits. @returns how many */
  writeNow(channel: Channel, bytes: Uint8Array, off: number, len: number): number {
    const most = Math.min(len, channel.txAllowed - channel.txSent);
    let done = 0;
    while (done < most) {
      const want = Math.min(most - done, this.maxPayload);
      const at = this.writer.reserve(DATA_HEADER_LEN + Math.min(want, SMALLEST_CUT));
      if (at < 0) break;
      const n = Math.min(want, this.writer.room - DATA_HEADER_LEN);
      copyBytes(bytes, off + done, this.writer.slab.bytes, at + DATA_HEADER_LEN, n);
      this.commit(channel, at, n);
      done += n;
    }
    return done;
  }

  /**
   * Write until the queues or the link's room end.
   *
   * @param onTurn called to ask the application of a channel with nothing queued for bytes
   * @param onServed called for each channel after its turn; it is not queued any more
   * @returns false when the link has no room
   */
  run(onTurn: (channel: Channel) => void, onServed: (channel: Channel) => void): boolean {
    for (;;) {
      const fromBacklog = this.fresh.empty || (this.backlogTurn && !this.backlog.empty);
      const queue = fromBacklog ? this.backlog : this.fresh;
      const channel = queue.shift();
      if (channel === undefined) return true;
      this.backlogTurn = !fromBacklog;
      const alone = this.idle;
      const turn = alone ? this.maxPayload : this.quantum - channel.debt;
      if (turn <= 0) {
        channel.debt -= this.quantum;
        this.backlog.push(channel);
        continue;
      }
      const before = channel.txSent;
      if (channel.tx.length > 0 ? !this.serve(channel, turn) : !this.ask(channel, turn, onTurn)) {
        queue.unshift(channel);
        return false;
      }
      channel.debt = alone ? 0 : channel.txSent - before - turn;
      if (channel.sendable) this.backlog.push(channel);
      else {
        channel.inData = false;
        channel.debt = Math.max(channel.debt, 0);
      }
      onServed(channel);
    }
  }

  /** @returns false when there is no room for the first bytes */
  private ask(channel: Channel, turn: number, onTurn: (channel: Channel) => void): boolean {
    if (channel.wanted === 0) return true;
    if (this.writer.reserve(DATA_HEADER_LEN + SMALLEST_CUT) < 0) return false;
    this.writer.commit(0);
    const before = channel.txSent;
    this.turn = channel;
    this.turnEnd = before + turn;
    channel.wanted = 0;
    onTurn(channel);
    this.turn = undefined;
    // An application that asks again without having sent waits for the next Window, or its own next send.
    if (channel.txSent === before && channel.tx.length === 0) channel.wanted = 0;
    return true;
  }

  /** @returns false when not a byte could be written for lack of room */
  private serve(channel: Channel, turn: number): boolean {
    let left = Math.min(turn, channel.tx.length, channel.txAllowed - channel.txSent);
    const due = left;
    while (left > 0) {
      const want = Math.min(left, this.maxPayload);
      const at = this.writer.reserve(DATA_HEADER_LEN + Math.min(want, SMALLEST_CUT));
      if (at < 0) return left < due;
      const n = Math.min(want, this.writer.room - DATA_HEADER_LEN);
      channel.tx.copyOut(0, n, this.writer.slab.bytes, at + DATA_HEADER_LEN);
      channel.tx.release(n);
      this.commit(channel, at, n);
      left -= n;
    }
    return true;
  }

  private commit(channel: Channel, at: number, n: number): void {
    emitDataHeader(this.writer.slab.view, at, channel.id, n);
    this.writer.commit(DATA_HEADER_LEN + n);
    channel.txSent += n;
    this.stats.framesSent++;
    this.stats.bytesSent += n;
  }
}
