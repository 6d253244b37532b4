import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  ageTtls,
  copyQuestion,
  fitUdp,
  limitTtls,
  TTL_MAX_S,
  withId,
} from '../../../src/services/dns/surgery.ts';
import { a, dataOf, queryBytes, replyBytes, unpack } from './dns-wire.ts';

const asked = queryBytes('big.example', 'A', { udpSize: 4096 });
const OPT = unpack(asked).additionals ?? [];
const addresses = (n: number): string[] =>
  Array.from({ length: n }, (_, i) => `10.0.${i >> 8}.${i & 255}`);
const big = (n: number): Uint8Array =>
  replyBytes(asked, {
    answers: addresses(n).map((data) => a('big.example', data)),
    additionals: OPT,
  });

describe('DNS surgery', () => {
  it('changes the id and nothing else', () => {
    const reply = big(3);
    const other = withId(reply, 0xabcd);
    assert.deepEqual([...other.subarray(0, 2)], [0xab, 0xcd]);
    assert.deepEqual(other.subarray(2), reply.subarray(2));
  });

  it('gives a reply the case in which the client asked', () => {
    const reply = big(1);
    copyQuestion(queryBytes('BIG.example'), reply);
    assert.equal(unpack(reply).questions?.[0]?.name, 'BIG.example');
  });

  it('leaves a reply without a question alone', () => {
    const reply = replyBytes(asked, { answers: addresses(3).map((data) => a('x', data)) });
    reply[5] = 0;
    const before = reply.slice();
    copyQuestion(queryBytes('BIG.example'), reply);
    assert.deepEqual(reply, before);
  });

  it('counts TTLs down to zero, and leaves the flags of OPT alone', () => {
    const reply = replyBytes(asked, {
      answers: [a('x', '1.1.1.1', 100), a('x', '1.1.1.2', 5)],
      additionals:
        unpack(queryBytes('x', 'A', { udpSize: 1232, dnssecOk: true })).additionals ?? [],
    });
    ageTtls(reply, 30);
    const { answers = [], additionals = [] } = unpack(reply);
    assert.deepEqual(
      answers.map((answer) => ('ttl' in answer ? answer.ttl : -1)),
      [70, 0],
    );
    assert.equal(additionals[0]?.type === 'OPT' && additionals[0].flag_do, true);
  });

  it('limits TTLs, and leaves the flags of OPT alone', () => {
    const additionals =
      unpack(queryBytes('x', 'A', { udpSize: 1232, dnssecOk: true })).additionals ?? [];
    const answers = [a('x', '1.1.1.1', 86_400), a('x', '1.1.1.2', 5)];
    const reply = replyBytes(asked, { answers, additionals });
    limitTtls(reply);
    const limited = [a('x', '1.1.1.1', TTL_MAX_S), a('x', '1.1.1.2', 5)];
    assert.deepEqual(reply, replyBytes(asked, { answers: limited, additionals }));
  });

  it('returns what fits as it is', () => {
    const reply = big(3);
    assert.equal(fitUdp(reply, reply.length), reply);
  });

  it('cuts answers from the end, sets TC, keeps OPT', () => {
    const fitted = unpack(fitUdp(big(100), 512));
    assert.equal(fitted.flag_tc, true);
    assert.equal(fitted.additionals?.[0]?.type, 'OPT');
    const kept = dataOf(fitUdp(big(100), 512));
    assert.ok(kept.length > 10);
    assert.deepEqual(kept, addresses(kept.length));
  });

  it('drops additional records without TC: nothing asked for is missing (RFC 2181 §9)', () => {
    const extra = addresses(100).map((data) => a('other.example', data));
    const reply = replyBytes(asked, {
      answers: [a('big.example', '1.2.3.4')],
      additionals: [...extra, ...OPT],
    });
    const fitted = unpack(fitUdp(reply, 512));
    assert.equal(fitted.flag_tc, false);
    assert.deepEqual([fitted.answers?.length, fitted.additionals?.length], [1, 1]);
  });

  it('never exceeds the limit and stays readable', () => {
    fc.assert(
      fc.property(fc.nat(300), fc.integer({ min: 512, max: 5000 }), (n, limit) => {
        const fitted = fitUdp(big(n), limit);
        assert.ok(fitted.length <= limit);
        const kept = dataOf(fitted);
        assert.deepEqual(kept, addresses(kept.length));
        assert.equal(unpack(fitted).flag_tc, kept.length < n);
      }),
    );
  });
});
