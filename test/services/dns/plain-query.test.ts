import assert from 'node:assert/strict';
import fc from 'fast-check';
import { readQuery } from '../../../src/services/dns/message.ts';
import { plainQuery } from '../../../src/services/dns/plain-query.ts';
import { query, queryBytes, unpack } from './dns-wire.ts';
import { wordsBeside } from './words-beside.ts';

const NAME = 'a.example';

describe('services/dns/plain-query', () => {
  for (const [where, message] of wordsBeside(NAME)) {
    it(`has nothing of ${where}`, () => {
      const asked = readQuery(message);
      assert.ok(typeof asked !== 'string', `${asked}`);
      const plain = plainQuery(asked);
      assert.ok(!Buffer.from(plain).toString('latin1').includes('secret'));
      const { id, questions, answers, authorities, additionals } = unpack(plain);
      const own = unpack(message);
      assert.deepEqual([id, questions], [own.id, own.questions]);
      assert.deepEqual([answers, authorities], [[], []]);
      assert.ok((additionals ?? []).every(({ type }) => type === 'OPT'));
    });
  }

  it('what is plain stays as it is', () => {
    for (const options of [
      {},
      { udpSize: 1232 },
      { udpSize: 4096, dnssecOk: true },
      { flags: 0x130 },
    ]) {
      const asked = queryBytes(NAME, 'AAAA', { ...options, id: 0xabcd });
      assert.deepEqual(
        Buffer.from(plainQuery(query(NAME, 'AAAA', { ...options, id: 0xabcd }))),
        Buffer.from(asked),
      );
    }
  });

  it('is in lower case, whatever bits the case of its letters would carry', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 9, maxLength: 9 }), (bits) => {
        const cased = [...'az-[`.com'].map((c, i) => (bits[i] === true ? c.toUpperCase() : c));
        assert.deepEqual(plainQuery(query(cased.join(''))), queryBytes('az-[`.com'));
      }),
    );
  });

  it('whatever the query, it is as long as its question and a bare OPT record', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (tail) => {
        const asked = readQuery(Uint8Array.from([...queryBytes(NAME), ...tail]));
        if (typeof asked === 'string') return;
        assert.deepEqual(plainQuery(asked), queryBytes(NAME));
      }),
    );
  });
});
