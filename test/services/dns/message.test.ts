import assert from 'node:assert/strict';
import fc from 'fast-check';
import { answers, eachRecord, readQuery, udpLimit } from '../../../src/services/dns/message.ts';
import { fitUdp } from '../../../src/services/dns/surgery.ts';
import { a, query, queryBytes, replyBytes } from './dns-wire.ts';

describe('DNS messages', () => {
  it('reads the question, whatever its case', () => {
    const read = query('WwW.ExAmPlE.org', 'AAAA');
    assert.deepEqual([read.name, read.type, read.klass], ['www.example.org', 28, 1]);
  });

  it('reads the size and flags of EDNS', () => {
    assert.equal(udpLimit(query('x')), 512);
    assert.equal(udpLimit(query('x', 'A', { udpSize: 100 })), 512); // RFC 6891 §6.2.3
    const read = query('x', 'A', { udpSize: 1232, dnssecOk: true });
    assert.equal(udpLimit(read), 1232);
    assert.equal(read.edns?.dnssecOk, true);
    assert.equal(read.edns?.hasOptions, false);
    assert.equal(query('x', 'A', { udpSize: 1232, cookie: true }).edns?.hasOptions, true);
  });

  const broken = (change: (bytes: Uint8Array) => void): Uint8Array => {
    const bytes = queryBytes('ab.c');
    change(bytes);
    return bytes;
  };
  const PROBLEMS: readonly (readonly [string, Uint8Array, string])[] = [
    ['less than a header', new Uint8Array(11), 'dns-truncated'],
    ['a response', broken((b) => b.fill(0x80, 2, 3)), 'dns-not-a-query'],
    ['another opcode', broken((b) => b.fill(0x28, 2, 3)), 'dns-opaque'],
    ['two questions', broken((b) => b.fill(2, 5, 6)), 'dns-opaque'],
    ['no question', broken((b) => b.fill(0, 5, 6)), 'dns-malformed'],
    ['a label beyond the end', broken((b) => b.fill(63, 12, 13)), 'dns-malformed'],
    ['a pointer in the question', broken((b) => b.fill(0xc0, 12, 13)), 'dns-malformed'],
    ['a missing record', broken((b) => b.fill(1, 11, 12)), 'dns-malformed'],
  ];
  for (const [what, bytes, problem] of PROBLEMS) {
    it(`names ${what}: ${problem}`, () => assert.equal(readQuery(bytes), problem));
  }

  it('writes bytes that no host name has as escapes, so that names stay distinct', () => {
    const bytes = queryBytes('aXb.c');
    bytes[14] = 0x2e; // a dot inside a label
    const read = readQuery(bytes);
    assert.equal(typeof read === 'string' ? read : read.name, 'a\\046b.c');
  });

  it('takes only the answer to its own question', () => {
    const asked = queryBytes('a.example', 'A', { id: 7 });
    assert.ok(answers(asked, replyBytes(asked)));
    assert.ok(answers(asked, replyBytes(queryBytes('A.EXAMPLE', 'A', { id: 7 }))));
    assert.ok(!answers(asked, asked), 'a query');
    assert.ok(!answers(asked, replyBytes(queryBytes('a.example', 'A', { id: 8 }))), 'another id');
    assert.ok(!answers(asked, replyBytes(queryBytes('b.example', 'A', { id: 7 }))), 'another name');
    assert.ok(
      !answers(asked, replyBytes(queryBytes('a.example', 'MX', { id: 7 }))),
      'another type',
    );
    const formerr = Uint8Array.of(0, 7, 0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0);
    assert.ok(answers(asked, formerr), 'FORMERR may lack the question');
    formerr[3] = 0;
    assert.ok(!answers(asked, formerr), 'NOERROR may not');
  });

  it('never throws on hostile bytes', () => {
    const real = replyBytes(queryBytes('a.example'), {
      answers: [a('a.example', '1.2.3.4'), a('b.example', '1.2.3.4')],
    });
    const mutated = fc
      .array(fc.tuple(fc.nat(real.length - 1), fc.nat(255)), { maxLength: 6 })
      .map((changes) => {
        const bytes = real.slice();
        for (const [at, value] of changes) bytes[at] = value;
        return bytes;
      });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 60 }), mutated), fc.nat(90), (bytes, cut) => {
        const short = bytes.subarray(0, cut);
        readQuery(short);
        answers(real, short);
        eachRecord(short, ({ end }) => assert.ok(end <= short.length));
        if (bytes.length >= 12) assert.ok(fitUdp(bytes, 512).length <= 512);
      }),
    );
  });
});
