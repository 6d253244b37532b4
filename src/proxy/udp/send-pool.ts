/**
 * Buffers for datagrams that are queued for the kernel. A guest's payload is borrowed for one call, and
 * Node holds the bytes that it sends until its callback, so each datagram is copied into a slot that is
 * recycled afterwards. Two sizes, both pieces of the arena: most datagrams fit the smaller one, and the
 * largest possible one fits 64 KiB.
 *
 * Bounded: `limitBytes` lent at once over all senders. What is lent cannot be taken back, so an owner may have as much as
 * is free beside it and no more (Choudhury and Hahne, "Dynamic queue length thresholds"): one alone half of the whole,
 * two a third each, and however many fill their parts, there is room for one more.
 */
import { allocate, release } from '../../base/arena.ts';
import { copyBytes } from '../../base/copy-bytes.ts';
import { reportFault } from '../../base/faults.ts';
import { KEY_WORDS } from '../../base/flow-key.ts';
import type { Slab } from '../../base/slab.ts';
import { errorCode } from '../../native/errors.ts';
import { type HostTarget, NO_TARGET } from './host-target.ts';

const SMALL = 4096;
const LARGE = 65_536;
const KEEP_SMALL = 256;
const KEEP_LARGE = 8;

/** Whose datagrams they are: a guest. */
export interface SlotOwner {
  /** Written by the pool only. */
  queuedBytes: number;
}

/** The sender that passed a slot to Node. */
export interface SlotSender {
  /** @param failure the code, or '' */
  onSentByNode(slot: SendSlot, failure: string): void;
}

export class SendSlot {
  readonly bytes: Buffer;
  /** The block that contains `bytes`, to be given back to the arena. */
  readonly piece: Uint8Array;
  /** Free for the sender: which flow this datagram is of. */
  readonly key: Int32Array = new Int32Array(KEY_WORDS);
  target: HostTarget = NO_TARGET;
  len = 0;
  /** Free for the sender. */
  retried = false;
  /** Set by the pool. */
  owner: SlotOwner | undefined = undefined;
  /** Used by the outbox: the next of its datagrams. */
  next: SendSlot | undefined = undefined;
  /** Used by the outbox that passed it to Node. */
  outbox: SlotSender | undefined = undefined;
  /** Bound once per slot: sending allocates no closure. */
  readonly done = (error: Error | null): void => {
    try {
      this.outbox?.onSentByNode(this, error === null ? '' : errorCode(error));
    } catch (fault) {
      reportFault('datagram-send', fault);
    }
  };

  constructor(lenBytes: number) {
    this.piece = allocate(lenBytes);
    this.bytes = Buffer.from(this.piece.buffer, this.piece.byteOffset, lenBytes);
  }

  /** Copy `len` bytes at `off` of `slab` to `at`. */
  fill(at: number, slab: Slab, off: number, len: number): void {
    copyBytes(slab.bytes, off, this.bytes, at, len);
  }
}

export class SendPool {
  lentBytes = 0;
  private readonly limitBytes: number;
  private readonly small: SendSlot[] = [];
  private readonly large: SendSlot[] = [];

  constructor(limitBytes: number = 32 << 20) {
    this.limitBytes = limitBytes;
  }

  /** @returns a slot of at least `len` bytes, or undefined at the limit, or at the owner's */
  take(len: number, target: HostTarget, owner?: SlotOwner): SendSlot | undefined {
    const size = len <= SMALL ? SMALL : LARGE;
    const free = this.limitBytes - this.lentBytes - size;
    if (free < 0) return undefined;
    if (owner !== undefined) {
      if (owner.queuedBytes > free) return undefined;
      owner.queuedBytes += size;
    }
    this.lentBytes += size;
    const slot = (size === SMALL ? this.small : this.large).pop() ?? new SendSlot(size);
    slot.len = len;
    slot.retried = false;
    slot.target = target;
    slot.owner = owner;
    return slot;
  }

  give(slot: SendSlot): void {
    const size = slot.bytes.length;
    this.lentBytes -= size;
    slot.outbox = undefined;
    if (slot.owner !== undefined) slot.owner.queuedBytes -= size;
    slot.owner = undefined;
    const isSmall = size === SMALL;
    const list = isSmall ? this.small : this.large;
    if (list.length < (isSmall ? KEEP_SMALL : KEEP_LARGE)) list.push(slot);
    else release(slot.piece);
  }
}
