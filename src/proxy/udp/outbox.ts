/**
 * Datagrams of guests that are queued for the kernel.
 *
 * Theory of operation
 * -------------------
 * Each host socket has an {@link Outbox}. With native calls it gathers the datagrams of one batch of
 * frames, and sends them by one system call when the batch ends ({@link Outboxes.flush}), or sooner when
 * there are as many as one call accepts. Without native calls each is passed to Node at once. Datagrams that
 * the kernel has no room for are passed to Node too: it holds them until there is room, and later ones are queued
 * behind them, so that datagrams keep their order.
 *
 * A slot belongs to the outbox from `add` until the sender's `onSent`. The sender limits their
 * number.
 */

import type { Socket } from 'node:dgram';
import { getSystemErrorName } from 'node:util';
import { reportFault } from '../../base/faults.ts';
import { once } from '../../base/once.ts';
import { WorkList } from '../../base/work-list.ts';
import * as n from '../../native/constants.ts';
import type { DatagramBatch } from '../../native/posix.ts';
import { MAX_WHOLE_QUOTE } from './host-target.ts';
import type { SendSlot, SlotSender } from './send-pool.ts';

/** The kernel's buffer is full: it empties at the speed of a network. */
const RETRY_MS = 1;

export interface Sender {
  /**
   * The kernel accepted the datagram or refused it. The slot belongs to the sender again.
   *
   * @param failure the system's code; empty when it was sent
   */
  onSent(slot: SendSlot, failure: string): void;
  /** The kernel reported the error of an earlier datagram instead of sending this one, which is sent again. */
  onInterrupted(): void;
}

/** The state shared by all outboxes. */
export class Outboxes {
  /** @internal for outboxes. Made for the first datagram; undefined without native calls. */
  readonly batch: () => DatagramBatch | undefined;
  private readonly filled = new WorkList<Outbox>();

  constructor(makeBatch: () => DatagramBatch | undefined) {
    this.batch = once(makeBatch);
  }

  /** Outboxes that the next `flush` will send. */
  get owed(): number {
    return this.filled.length;
  }

  /** @internal for outboxes: one has something for the next `flush`. */
  enlist(outbox: Outbox): void {
    this.filled.push(outbox);
  }

  /** The batch of frames has ended. */
  flush(): void {
    const { filled } = this;
    for (let outbox = filled.take(); outbox !== undefined; outbox = filled.take()) {
      try {
        outbox.onBatchEnd();
      } catch (fault) {
        reportFault('datagram-send', fault);
      }
    }
  }
}

/** What an outbox sends through. */
export interface OutboxHost {
  /** -1 when Node does not expose it. */
  readonly fd: number;
  /** Undefined: only native calls send; datagrams that the kernel has no room for are retried. */
  readonly socket: Socket | undefined;
}

export class Outbox implements SlotSender {
  private readonly shared: Outboxes;
  private readonly host: OutboxHost;
  private readonly sender: Sender;
  private first: SendSlot | undefined = undefined;
  private last: SendSlot | undefined = undefined;
  private length = 0;
  private enlisted = false;
  /** Datagrams that were passed to Node, and may still wait there. */
  private atNode = 0;
  /** Until the kernel refuses: a device may not support it, or the path's MTU may be less than a segment. */
  private segments = true;
  private retrying = false;
  private closed = false;

  constructor(shared: Outboxes, host: OutboxHost, sender: Sender) {
    this.shared = shared;
    this.host = host;
    this.sender = sender;
  }

  add(slot: SendSlot): void {
    if (this.closed) {
      this.sender.onSent(slot, 'EADDRNOTAVAIL');
      return;
    }
    const batch = this.shared.batch();
    if (
      batch === undefined ||
      this.atNode > 0 ||
      this.host.fd < 0 ||
      slot.target.name === undefined
    ) {
      this.flush();
      this.sendByNode(slot);
      return;
    }
    slot.next = undefined;
    if (this.last === undefined) this.first = slot;
    else this.last.next = slot;
    this.last = slot;
    this.length++;
    if (this.length === batch.capacity) {
      this.flush();
    } else if (!this.enlisted) {
      this.enlisted = true;
      this.shared.enlist(this);
    }
  }

  /** Send the gathered datagrams now: a socket option changes, or the socket closes. */
  flush(): void {
    const batch = this.shared.batch();
    if (batch === undefined) return;
    while (this.first !== undefined && !this.retrying && !this.closed) {
      batch.clear(this.segments);
      let slot: SendSlot | undefined = this.first;
      while (slot !== undefined && this.gather(batch, slot)) {
        slot = slot.next;
      }
      const gathered = batch.length;
      const sent = batch.send(this.host.fd);
      if (sent < 0) this.onRefused(-sent, batch.segmented);
      for (let i = 0; i < sent; i++) this.finish('');
      if (sent >= 0 && sent < gathered) this.sender.onInterrupted();
    }
  }

  /** Send nothing more; return the queued slots. */
  close(): void {
    this.closed = true;
    while (this.first !== undefined) this.finish('ECANCELED');
  }

  /** @internal for {@link Outboxes}. */
  onBatchEnd(): void {
    this.enlisted = false;
    this.flush();
  }

  onSentByNode(slot: SendSlot, failure: string): void {
    this.atNode--;
    this.sender.onSent(slot, failure);
  }

  private onRefused(errno: number, segmented: boolean): void {
    if (errno === n.EAGAIN || errno === n.ENOBUFS) {
      if (this.host.socket === undefined) this.retryLater();
      else
        for (let slot = this.take(); slot !== undefined; slot = this.take()) this.sendByNode(slot);
    } else if (segmented && (errno === n.EINVAL || errno === n.EIO || errno === n.EMSGSIZE)) {
      this.segments = false;
    } else {
      this.finish(getSystemErrorName(-errno));
    }
  }

  private gather(batch: DatagramBatch, { bytes, len, target }: SendSlot): boolean {
    const { name, source } = target;
    const joins = target.joinsShort || len >= MAX_WHOLE_QUOTE;
    return name !== undefined && batch.add(bytes, len, name, source, joins);
  }

  private retryLater(): void {
    this.retrying = true;
    setTimeout(() => {
      this.retrying = false;
      this.flush();
    }, RETRY_MS);
  }

  private finish(failure: string): void {
    const slot = this.take();
    if (slot !== undefined) this.sender.onSent(slot, failure);
  }

  private take(): SendSlot | undefined {
    const slot = this.first;
    if (slot === undefined) return undefined;
    this.first = slot.next;
    if (slot.next === undefined) this.last = undefined;
    slot.next = undefined;
    this.length--;
    return slot;
  }

  private sendByNode(slot: SendSlot): void {
    const { socket } = this.host;
    if (socket === undefined) {
      this.sender.onSent(slot, 'ENOBUFS');
      return;
    }
    this.atNode++;
    slot.outbox = this;
    const { bytes, len, target, done } = slot;
    socket.send(bytes, 0, len, target.port, target.address, done);
  }
}
