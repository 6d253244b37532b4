/**
 * Replies of upstreams, kept for as long as their TTLs allow (RFC 1035 §7.4, negative ones RFC 2308)
 * as the bytes received, with TTLs counted down. Bounded in entries and bytes; the least recently
 * used are evicted first. Holds only what any client may get: a query with anything unusual in it is
 * neither answered from the cache nor are its replies stored.
 */
import type { Instant } from '../../base/time.ts';
import {
  type DnsQuery,
  dnsFlags,
  dnsRcode,
  eachRecord,
  FLAG_AD,
  FLAG_RD,
  FLAG_TC,
  NOERROR,
  NXDOMAIN,
  TYPE_ANY,
  TYPE_OPT,
  TYPE_SOA,
  u16,
  u32,
} from './message.ts';
import { ageTtls, copyQuestion, withId } from './surgery.ts';

/** RFC 2308 §5. */
const MAX_NEGATIVE_TTL_S = 10_800;
const MAX_TTL_S = 86_400;
/** Types from here to ANY are queries for more than one record set, or about the transport. */
const FIRST_META_TYPE = 249;
/** The overhead of an entry beside its bytes. */
const ENTRY_OVERHEAD = 200;

export interface DnsCacheLimits {
  readonly entries: number;
  readonly lenBytes: number;
}

interface Entry extends Marked {
  readonly reply: Uint8Array;
  readonly storedAt: Instant;
  readonly expiresAt: Instant;
}

/** A reply that is kept, for what was found out about it and is forgotten with it. */
export interface Marked {
  mark: unknown;
}

export interface CachedReply {
  /** With the query's id, its question and TTLs as of now; the caller owns them. */
  readonly bytes: Uint8Array;
  readonly kept: Marked;
}

export class DnsCache {
  hits = 0;
  misses = 0;
  evictions = 0;
  private readonly limits: DnsCacheLimits;
  private readonly entries = new Map<string, Entry>();
  private lenBytes = 0;

  constructor(limits: DnsCacheLimits = { entries: 4096, lenBytes: 4 << 20 }) {
    this.limits = limits;
  }

  get size(): number {
    return this.entries.size;
  }

  get(query: DnsQuery, now: Instant): CachedReply | undefined {
    const key = keyOf(query);
    if (key === undefined) return undefined;
    const entry = this.entries.get(key);
    if (entry === undefined || entry.expiresAt <= now) {
      this.misses++;
      if (entry !== undefined) this.remove(key, entry);
      return undefined;
    }
    this.hits++;
    this.entries.delete(key);
    this.entries.set(key, entry);
    const bytes = withId(entry.reply, query.id);
    copyQuestion(query.bytes, bytes);
    ageTtls(bytes, Math.floor((now - entry.storedAt) / 1000));
    return { bytes, kept: entry };
  }

  /** Keep `reply`, which answers `query`, if it may be. The bytes become the cache's. */
  put(query: DnsQuery, reply: Uint8Array, now: Instant): void {
    const key = keyOf(query);
    const ttl = key === undefined ? 0 : lifetimeSeconds(query, reply);
    if (key === undefined || ttl <= 0) return;
    const old = this.entries.get(key);
    if (old !== undefined) this.remove(key, old);
    if (reply.length + ENTRY_OVERHEAD > this.limits.lenBytes / 4) return;
    const expiresAt = now + ttl * 1000;
    this.entries.set(key, { reply, storedAt: now, expiresAt, mark: undefined });
    this.lenBytes += reply.length + ENTRY_OVERHEAD;
    while (this.entries.size > this.limits.entries || this.lenBytes > this.limits.lenBytes) {
      const [oldest] = this.entries;
      if (oldest === undefined) return;
      this.remove(oldest[0], oldest[1]);
      this.evictions++;
    }
  }

  /** Drop all entries: other upstreams may give other answers. */
  clear(): void {
    this.entries.clear();
    this.lenBytes = 0;
  }

  private remove(key: string, entry: Entry): void {
    this.entries.delete(key);
    this.lenBytes -= entry.reply.length + ENTRY_OVERHEAD;
  }
}

/** @returns undefined when the query bypasses the cache */
function keyOf(query: DnsQuery): string | undefined {
  const { flags, edns, type } = query;
  // RD alone, or with AD (RFC 6840 §5.7), which changes the reply and so is part of the key.
  if ((flags & ~FLAG_AD) !== FLAG_RD || !query.bare) return undefined;
  if (type >= FIRST_META_TYPE && type <= TYPE_ANY) return undefined;
  if (edns !== undefined && (edns.version !== 0 || edns.hasOptions)) return undefined;
  const client = `${edns === undefined ? '' : 'e'}${edns?.dnssecOk === true ? 'd' : ''}${flags & FLAG_AD}`;
  return `${query.name} ${type} ${query.klass} ${client}`;
}

/** How long a reply may be kept; 0 for not at all. */
function lifetimeSeconds(query: DnsQuery, reply: Uint8Array): number {
  const rcode = dnsRcode(reply);
  if ((dnsFlags(reply) & FLAG_TC) !== 0 || (rcode !== NOERROR && rcode !== NXDOMAIN)) return 0;
  let shortest = MAX_TTL_S;
  let answered = false;
  let negative = 0;
  let extended = false;
  const sound = eachRecord(reply, (record) => {
    const field = u32(reply, record.ttlOff);
    if (record.type === TYPE_OPT) {
      extended ||= field >>> 24 !== 0; // high bits of an rcode above 15
      return;
    }
    const ttl = field > 0x7fff_ffff ? 0 : field; // RFC 2181 §8
    shortest = Math.min(shortest, ttl);
    if (record.section === 'answer' && record.type === query.type) answered = true;
    if (record.section === 'authority' && record.type === TYPE_SOA && record.dataLen >= 22) {
      // RFC 2308 §5: the lesser of the SOA's own TTL and its MINIMUM field, the last of its data.
      const minimum = u32(reply, record.dataOff + record.dataLen - 4);
      negative = Math.min(ttl, minimum, MAX_NEGATIVE_TTL_S);
    }
  });
  if (!sound || extended || u16(reply, 4) !== 1) return 0;
  return rcode === NOERROR && answered ? shortest : Math.min(shortest, negative);
}
