/**
 * Buffers for datagrams on their way to the kernel. A guest's payload is borrowed for one call, and
 * Node keeps what it sends until its callback, so each datagram is copied into a slot that is
 * recycled afterwards. Two sizes: most datagrams fit one Ethernet frame, and the largest fit 64 KiB.
 *
 * Bounded: `limitBytes` lent at once over all senders, after which `take` refuses.
 */
import { KEY_WORDS } from '../../base/flow-key.ts';
import type { Slab } from '../../base/slab.ts';

const SMALL = 2048;
const LARGE = 65_536;
const KEEP_SMALL = 256;
const KEEP_LARGE = 8;

export interface Sender {
  /** The kernel took the datagram or refused it. The slot is the sender's to give back. */
  onSent(slot: SendSlot, error: Error | null): void;
}

export class SendSlot {
  readonly bytes: Buffer;
  /** Free for the sender: which flow this datagram is of. */
  readonly key: Int32Array = new Int32Array(KEY_WORDS);
  /** Free for the sender: the host socket's target, for sending it again. */
  address = '';
  port = 0;
  len = 0;
  retried = false;
  sender: Sender | undefined = undefined;
  /** Bound once per slot: sending allocates no closure. */
  readonly done = (error: Error | null): void => {
    this.sender?.onSent(this, error);
  };

  constructor(lenBytes: number) {
    this.bytes = Buffer.allocUnsafeSlow(lenBytes);
  }
}

export class SendPool {
  lentBytes = 0;
  private readonly limitBytes: number;
  private readonly small: SendSlot[] = [];
  private readonly large: SendSlot[] = [];
  /** The slab last copied from, as a Buffer: `copy` needs no view per datagram, `set` would. */
  private slab: Slab | undefined = undefined;
  private slabBuffer: Buffer = Buffer.alloc(0);

  constructor(limitBytes: number = 16 << 20) {
    this.limitBytes = limitBytes;
  }

  /** @returns a slot of at least `len` bytes, or undefined at the limit */
  take(len: number, sender: Sender): SendSlot | undefined {
    const size = len <= SMALL ? SMALL : LARGE;
    if (this.lentBytes + size > this.limitBytes) return undefined;
    this.lentBytes += size;
    const slot = (size === SMALL ? this.small : this.large).pop() ?? new SendSlot(size);
    slot.len = len;
    slot.retried = false;
    slot.sender = sender;
    return slot;
  }

  /** Copy `len` bytes at `off` of `slab` into a slot, from `at`. */
  fill(slot: SendSlot, at: number, slab: Slab, off: number, len: number): void {
    if (slab !== this.slab) {
      const { buffer, byteOffset, byteLength } = slab.bytes;
      this.slab = slab;
      this.slabBuffer = Buffer.from(buffer, byteOffset, byteLength);
    }
    this.slabBuffer.copy(slot.bytes, at, off, off + len);
  }

  give(slot: SendSlot): void {
    const size = slot.bytes.length;
    this.lentBytes -= size;
    slot.sender = undefined;
    const [list, keep] = size === SMALL ? [this.small, KEEP_SMALL] : [this.large, KEEP_LARGE];
    if (list.length < keep) list.push(slot);
  }
}
