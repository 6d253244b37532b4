/**
 * Reassembly of packets in pieces, of both families (RFC 791 §3.2, RFC 1122 §3.3.2, RFC 8200 §4.5, and RFC 5722's rule on
 * overlaps).
 *
 * Theory of operation
 * -------------------
 * A datagram in pieces is a context: header and payload in one 64 KiB buffer, and the set of byte
 * ranges that have arrived. A fragment that overlaps another, or contradicts its end, kills the
 * context: nothing is delivered that two readers could see differently. Contexts live for 30 seconds, and are shares of
 * guests: a guest's datagrams in pieces are whole whatever others send. Fragments of two guests never meet in one.
 */

import { assert } from '../base/assert.ts';
import { copyBytes } from '../base/copy-bytes.ts';
import { type Seq, seq, seqDiff } from '../base/seq.ts';
import { type Account, Budget } from '../base/shares/budget.ts';
import { makeSlab, type Slab } from '../base/slab.ts';
import { type Instant, NEVER } from '../base/time.ts';
import { IPV6_HEADER_LEN, IPV6_MAX_PAYLOAD } from '../wire/ipv6.ts';
import type { Guest } from './guest.ts';
import { Intervals } from './tcp/intervals.ts';

const MAX_CONTEXTS = 64;
const MAX_PIECES = 64;
const LIFETIME_MS = 30_000;
const SLAB_LEN = IPV6_HEADER_LEN + IPV6_MAX_PAYLOAD;

export type FragmentDrop =
  | 'fragment-bad-length'
  | 'fragment-overlap'
  | 'fragment-duplicate'
  | 'fragment-too-many-pieces'
  | 'fragment-table-full'
  | 'fragment-evicted'
  | 'fragment-timed-out';

/** One fragment as its family read it; one record, filled anew for each. */
export class Fragment {
  /** Source and destination, four words each. */
  readonly ends: Int32Array = new Int32Array(8);
  /** Tells the packets of the same two ends apart. */
  id = 0;
  /** What the payload is, as this fragment says. */
  protocol = 0;
  /** Of the header that is kept of the first fragment. */
  headerOff = 0;
  headerLen = 0;
  /** What it carries: `len` bytes at `off`, which begin at `start` of the payload. */
  off = 0;
  len = 0;
  start = 0;
  more = false;
  /** The longest payload that the family's header can say. */
  maxPayload = 0;
}

/** A packet that is whole. Borrowed until the next fragment. */
export class Whole {
  /** The header of the first fragment at 0, as it came, and the payload behind it. */
  slab: Slab = makeSlab(0);
  /** Bytes of payload. */
  len = 0;
  /** As the first fragment said. */
  protocol = 0;
}

class Context {
  readonly owner: Guest;
  readonly share: Account;
  readonly ends: Int32Array;
  readonly id: number;
  readonly slab: Slab;
  readonly expiresAt: Instant;
  readonly pieces = new Intervals(MAX_PIECES);
  protocol = 0;
  /** Payload length, known once the last fragment is here; -1 before. */
  total = -1;

  constructor(
    owner: Guest,
    share: Account,
    { ends, id }: Fragment,
    slab: Slab,
    expiresAt: Instant,
  ) {
    this.owner = owner;
    this.share = share;
    this.ends = ends.slice();
    this.id = id;
    this.slab = slab;
    this.expiresAt = expiresAt;
  }

  get firstArrived(): boolean {
    return this.pieces.count > 0 && this.pieces.start(0) === 0;
  }

  isOf(owner: Guest, fragment: Fragment): boolean {
    if (this.id !== fragment.id || this.owner !== owner) return false;
    for (let i = 0; i < 8; i++) if (this.ends[i] !== fragment.ends[i]) return false;
    return true;
  }
}

export class Reassembler {
  private readonly contexts: Context[] = []; // oldest first
  private readonly spare: Slab[] = [];
  private readonly whole = new Whole();
  readonly budget: Budget = new Budget('reassemblies', MAX_CONTEXTS);
  private readonly shares = new WeakMap<Guest, Account>();
  private readonly count: (reason: FragmentDrop) => void;

  constructor(count: (reason: FragmentDrop) => void) {
    this.count = count;
  }

  get size(): number {
    return this.contexts.length;
  }

  /**
   * Take in one fragment of `owner`, whose headers have been checked.
   *
   * @returns undefined while pieces are missing
   */
  add(now: Instant, owner: Guest, { bytes }: Slab, fragment: Fragment): Whole | undefined {
    const { headerOff, headerLen, off, len, start, more } = fragment;
    if (len === 0 || (more && (len & 7) !== 0) || start + len > fragment.maxPayload) {
      this.count('fragment-bad-length');
      return undefined;
    }
    const context = this.contextOf(now, owner, fragment);
    if (context === undefined) {
      this.count('fragment-table-full');
      return undefined;
    }
    const at = headerLen + start;
    const piece = bytes.subarray(off, off + len);
    let fault = this.place(context, start, len, more);
    // An identical copy is harmless; one with other bytes is not.
    if (fault === 'fragment-duplicate' && !equalAt(context.slab.bytes, at, piece)) {
      fault = 'fragment-overlap';
    }
    if (fault !== undefined) {
      this.count(fault);
      if (fault !== 'fragment-duplicate') this.remove(context);
      return undefined;
    }
    context.slab.bytes.set(piece, at);
    if (start === 0) {
      copyBytes(bytes, headerOff, context.slab.bytes, 0, headerLen);
      context.protocol = fragment.protocol;
    }
    if (context.pieces.bytes !== context.total) return undefined;
    this.remove(context);
    return this.fill(context, context.total);
  }

  nextTimeout(): Instant {
    return this.contexts[0]?.expiresAt ?? NEVER;
  }

  /**
   * Give up contexts that are overdue.
   *
   * @param onTimedOut called with the start of the packet, as far as it came, when its first fragment had arrived
   */
  expire(now: Instant, onTimedOut: (start: Whole) => void): void {
    for (;;) {
      const oldest = this.contexts[0];
      if (oldest === undefined || oldest.expiresAt > now) return;
      this.count('fragment-timed-out');
      this.remove(oldest);
      if (oldest.firstArrived) onTimedOut(this.fill(oldest, oldest.pieces.end(0)));
    }
  }

  private fill({ slab, protocol }: Context, len: number): Whole {
    const { whole } = this;
    whole.slab = slab;
    whole.len = len;
    whole.protocol = protocol;
    return whole;
  }

  private contextOf(now: Instant, owner: Guest, fragment: Fragment): Context | undefined {
    for (const context of this.contexts) if (context.isOf(owner, fragment)) return context;
    const share = this.shareOf(owner);
    if (!share.take()) return undefined;
    const slab = this.spare.pop() ?? makeSlab(SLAB_LEN);
    const context = new Context(owner, share, fragment, slab, now + LIFETIME_MS);
    this.contexts.push(context);
    return context;
  }

  private shareOf(owner: Guest): Account {
    const known = this.shares.get(owner);
    if (known !== undefined) return known;
    const evict = (): boolean => this.evictOldest(owner);
    const share = owner.owner.share(this.budget, { evict, recycles: true });
    this.shares.set(owner, share);
    return share;
  }

  private evictOldest(guest: Guest): boolean {
    const oldest = this.contexts.find(({ owner }) => owner === guest);
    if (oldest === undefined) return false;
    this.count('fragment-evicted');
    this.remove(oldest);
    return true;
  }

  private place(
    context: Context,
    start: number,
    len: number,
    more: boolean,
  ): FragmentDrop | undefined {
    const { pieces } = context;
    const from: Seq = seq(start);
    const to: Seq = seq(start + len);
    const top = pieces.top;
    const fresh = pieces.uncovered(from, to);
    if (fresh === 0 && (more || context.total === start + len)) return 'fragment-duplicate';
    if (!more) {
      if (context.total >= 0 || (top !== undefined && seqDiff(top, to) > 0)) {
        return 'fragment-overlap';
      }
      context.total = start + len;
    } else if (context.total >= 0 && start + len > context.total) return 'fragment-overlap';
    if (fresh !== len) return 'fragment-overlap';
    return pieces.add(from, to) < 0 ? 'fragment-too-many-pieces' : undefined;
  }

  private remove(context: Context): void {
    const at = this.contexts.indexOf(context);
    assert(at >= 0, 'unknown reassembly context');
    this.contexts.splice(at, 1);
    context.share.give();
    if (this.spare.length < 4) this.spare.push(context.slab);
  }
}

function equalAt(bytes: Uint8Array, at: number, piece: Uint8Array): boolean {
  for (let i = 0; i < piece.length; i++) if (bytes[at + i] !== piece[i]) return false;
  return true;
}
