/**
 * IPv4 reassembly (RFC 791 §3.2, RFC 1122 §3.3.2, RFC 5722's rule on overlaps applied to IPv4).
 *
 * Theory of operation
 * -------------------
 * A datagram in pieces is a context: header and payload in one 64 KiB buffer, and the set of byte
 * ranges that have arrived. A fragment that overlaps another, or contradicts its end, kills the
 * context: nothing is delivered that two readers could see differently. Contexts live for 30 seconds, and are shares of
 * guests: a guest's datagrams in pieces are whole whatever others send. Fragments of two guests never meet in one.
 */

import { assert } from '../../base/assert.ts';
import { copyBytes } from '../../base/copy-bytes.ts';
import { type Seq, seq, seqDiff } from '../../base/seq.ts';
import { type Account, Budget } from '../../base/shares/budget.ts';
import { makeSlab, type Slab } from '../../base/slab.ts';
import { type Instant, NEVER } from '../../base/time.ts';
import {
  IPV4_HEADER_LEN,
  IPV4_MAX_LEN,
  IPV4_MF,
  ipv4Dst,
  ipv4Fragment,
  ipv4HeaderLen,
  ipv4Identification,
  ipv4Protocol,
  ipv4Src,
  ipv4TotalLength,
} from '../../wire/ipv4.ts';
import type { Guest } from '../guest.ts';
import { Intervals } from '../tcp/intervals.ts';

const MAX_CONTEXTS = 64;
const MAX_PIECES = 64;
const LIFETIME_MS = 30_000;
const MAX_PAYLOAD = IPV4_MAX_LEN - IPV4_HEADER_LEN;

export type FragmentDrop =
  | 'fragment-bad-length'
  | 'fragment-overlap'
  | 'fragment-duplicate'
  | 'fragment-too-many-pieces'
  | 'fragment-table-full'
  | 'fragment-evicted'
  | 'fragment-timed-out';

class Context {
  readonly owner: Guest;
  readonly share: Account;
  readonly src: number;
  readonly dst: number;
  readonly id: number;
  readonly slab: Slab;
  readonly expiresAt: Instant;
  readonly pieces = new Intervals(MAX_PIECES);
  /** Payload length, known once the last fragment is here; -1 before. */
  total = -1;

  constructor(
    owner: Guest,
    share: Account,
    src: number,
    dst: number,
    id: number,
    slab: Slab,
    expiresAt: Instant,
  ) {
    this.owner = owner;
    this.share = share;
    this.src = src;
    this.dst = dst;
    this.id = id;
    this.slab = slab;
    this.expiresAt = expiresAt;
  }

  get firstArrived(): boolean {
    return this.pieces.count > 0 && this.pieces.start(0) === 0;
  }
}

/** Where the header of a packet under reassembly stands in its slab; the payload follows it. */
const HEADER_AT = 0;

export class Reassembler {
  private readonly contexts: Context[] = []; // oldest first
  private readonly spare: Slab[] = [];
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
   * Take in one fragment of `owner`, whose header has been checked.
   *
   * @returns a slab whose start is the whole packet, with a header of 20 bytes that has no fragment
   *   fields set (and no valid checksum), borrowed until the next call; undefined while pieces are
   *   missing
   */
  add(
    now: Instant,
    owner: Guest,
    view: DataView,
    bytes: Uint8Array,
    off: number,
  ): Slab | undefined {
    const word = ipv4Fragment(view, off);
    const start = (word & 0x1fff) << 3;
    const headerLen = ipv4HeaderLen(view, off);
    const len = ipv4TotalLength(view, off) - headerLen;
    const more = (word & IPV4_MF) !== 0;
    if (len === 0 || (more && (len & 7) !== 0) || start + len > MAX_PAYLOAD) {
      this.count('fragment-bad-length');
      return undefined;
    }
    const context = this.contextOf(now, owner, view, off);
    if (context === undefined) {
      this.count('fragment-table-full');
      return undefined;
    }
    const at = IPV4_HEADER_LEN + start;
    const piece = bytes.subarray(off + headerLen, off + headerLen + len);
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
      copyBytes(bytes, off, context.slab.bytes, HEADER_AT, IPV4_HEADER_LEN);
    }
    if (context.pieces.bytes !== context.total) return undefined;
    this.remove(context);
    const whole = context.slab.view;
    whole.setUint8(HEADER_AT, 0x45);
    whole.setUint16(HEADER_AT + 2, IPV4_HEADER_LEN + context.total);
    whole.setUint16(HEADER_AT + 6, 0);
    return context.slab;
  }

  nextTimeout(): Instant {
    return this.contexts[0]?.expiresAt ?? NEVER;
  }

  /**
   * Give up contexts that are overdue.
   *
   * @param onTimedOut called with the start of the packet when its first fragment had arrived
   */
  expire(now: Instant, onTimedOut: (slab: Slab) => void): void {
    for (;;) {
      const oldest = this.contexts[0];
      if (oldest === undefined || oldest.expiresAt > now) return;
      this.count('fragment-timed-out');
      this.remove(oldest);
      if (oldest.firstArrived) onTimedOut(oldest.slab);
    }
  }

  private contextOf(now: Instant, owner: Guest, view: DataView, off: number): Context | undefined {
    const src = ipv4Src(view, off);
    const dst = ipv4Dst(view, off);
    const id = (ipv4Identification(view, off) << 8) | ipv4Protocol(view, off);
    for (const context of this.contexts) {
      if (
        context.id === id &&
        context.src === src &&
        context.dst === dst &&
        context.owner === owner
      ) {
        return context;
      }
    }
    const share = this.shareOf(owner);
    if (!share.take()) return undefined;
    const slab = this.spare.pop() ?? makeSlab(IPV4_MAX_LEN);
    const context = new Context(owner, share, src, dst, id, slab, now + LIFETIME_MS);
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
