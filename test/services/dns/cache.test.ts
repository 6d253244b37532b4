import assert from 'node:assert/strict';
import type { RecordType } from 'dns-packet';
import { DnsCache } from '../../../src/services/dns/cache.ts';
import {
  a,
  dataOf,
  type QueryOptions,
  query,
  rcodeOf,
  replyBytes,
  soa,
  unpack,
} from './dns-wire.ts';

const NAME = 'a.example';
const CD = 0x110;
const NO_RD = 0;

describe('DNS cache', () => {
  it('answers with the id and case of the query, TTLs counted down, until the shortest ends', () => {
    const cache = new DnsCache();
    const first = query(NAME);
    const answers = [a(NAME, '1.1.1.1', 60), a(NAME, '2.2.2.2', 30)];
    cache.put(first, replyBytes(first.bytes, { answers }), 1000);
    const hit = cache.get(query('A.Example', 'A', { id: 99 }), 11_999)?.bytes;
    assert.ok(hit);
    const { id, questions, answers: got = [] } = unpack(hit);
    assert.deepEqual([id, questions?.[0]?.name], [99, 'A.Example']);
    assert.deepEqual(
      got.map((answer) => ('ttl' in answer ? answer.ttl : -1)),
      [50, 20],
    );
    assert.equal(cache.get(first, 31_000), undefined);
  });

  it('keeps the bytes as the upstream gave them', () => {
    const cache = new DnsCache();
    const asked = query(NAME);
    const reply = replyBytes(asked.bytes, { flags: 0x5a0, answers: [a(NAME, '1.1.1.1')] });
    cache.put(asked, reply, 0);
    assert.deepEqual(cache.get(asked, 0)?.bytes, reply);
  });

  const NEGATIVE: readonly (readonly [string, number, number, number | undefined, number])[] = [
    // rule, rcode, SOA TTL, SOA MINIMUM (undefined: no SOA), seconds kept
    ['NXDOMAIN for the SOA minimum', 3, 100, 20, 20],
    ['NXDOMAIN for the TTL of the SOA if less', 3, 10, 20, 10],
    ['NXDOMAIN for three hours at most', 3, 86_400, 86_400, 10_800],
    ['an empty NOERROR the same way', 0, 100, 20, 20],
    ['nothing without SOA', 3, 0, undefined, 0],
    ['no empty NOERROR without SOA', 0, 0, undefined, 0],
    ['no SERVFAIL', 2, 100, 20, 0],
    ['no REFUSED', 5, 100, 20, 0],
  ];
  for (const [rule, rcode, ttl, minimum, seconds] of NEGATIVE) {
    it(`keeps ${rule} (RFC 2308)`, () => {
      const cache = new DnsCache();
      const asked = query(NAME);
      const authorities = minimum === undefined ? [] : [soa('example', ttl, minimum)];
      cache.put(asked, replyBytes(asked.bytes, { rcode, authorities }), 0);
      const at = (now: number): number | undefined => {
        const hit = cache.get(asked, now)?.bytes;
        return hit === undefined ? undefined : rcodeOf(hit);
      };
      if (seconds > 0) assert.equal(at(seconds * 1000 - 1), rcode);
      assert.equal(at(seconds * 1000), undefined);
    });
  }

  const BYPASS: readonly (readonly [string, RecordType, QueryOptions])[] = [
    ['checking disabled', 'A', { flags: CD }],
    ['no recursion desired', 'A', { flags: NO_RD }],
    ['EDNS options (a cookie, a client subnet)', 'A', { udpSize: 1232, cookie: true }],
    ['transaction signatures', 'TSIG', {}],
  ];
  for (const [what, type, options] of BYPASS) {
    it(`is bypassed by ${what}`, () => {
      const cache = new DnsCache();
      const asked = query(NAME, type, options);
      cache.put(asked, replyBytes(asked.bytes, { answers: [a(NAME, '1.1.1.1')] }), 0);
      assert.equal(cache.size, 0);
    });
  }

  it('distinguishes types, and queries with EDNS, DO and AD', () => {
    const cache = new DnsCache();
    const variants = [
      query(NAME),
      query(NAME, 'A', { udpSize: 1232 }),
      query(NAME, 'A', { udpSize: 1232, dnssecOk: true }),
      query(NAME, 'A', { flags: 0x120 }),
      query('b.example'),
    ];
    for (const [i, asked] of variants.entries()) {
      assert.equal(cache.get(asked, 0), undefined);
      cache.put(asked, replyBytes(asked.bytes, { answers: [a(NAME, `1.1.1.${i}`)] }), 0);
    }
    for (const [i, asked] of variants.entries()) {
      assert.deepEqual(dataOf(cache.get(asked, 0)?.bytes), [`1.1.1.${i}`]);
    }
    assert.equal(cache.get(query(NAME, 'AAAA'), 0), undefined);
  });

  it('keeps nothing truncated, and no TTL of zero or beyond 2^31', () => {
    const cache = new DnsCache();
    const asked = query(NAME);
    cache.put(asked, replyBytes(asked.bytes, { flags: 0x380, answers: [a(NAME, '1.1.1.1')] }), 0);
    cache.put(asked, replyBytes(asked.bytes, { answers: [a(NAME, '1.1.1.1', 0)] }), 0);
    cache.put(asked, replyBytes(asked.bytes, { answers: [a(NAME, '1.1.1.1', 2 ** 31)] }), 0);
    assert.equal(cache.size, 0);
  });

  it('evicts the least recently used beyond its limits of entries and bytes', () => {
    for (const limits of [
      { entries: 3, lenBytes: 1 << 20 },
      { entries: 100, lenBytes: 1000 },
    ]) {
      const cache = new DnsCache(limits);
      const put = (name: string): void => {
        const asked = query(name);
        cache.put(asked, replyBytes(asked.bytes, { answers: [a(name, '1.1.1.1')] }), 0);
      };
      for (const name of ['n0', 'n1', 'n2']) put(name);
      assert.ok(cache.get(query('n0'), 0));
      for (const name of ['n3', 'n4']) put(name);
      assert.ok(cache.get(query('n0'), 0), 'used lately');
      assert.equal(cache.get(query('n1'), 0), undefined);
      assert.ok(cache.size <= 4 && cache.evictions > 0);
    }
  });
});
