import assert from 'node:assert/strict';
import fc from 'fast-check';
import { NAMES_OF_ADDRESS } from '../../../src/proxy/flows/address-names.ts';
import {
  GRANTED_MS,
  GuestNames,
  KEPT_MOST_MS,
  KEPT_MS,
} from '../../../src/proxy/flows/guest-names.ts';
import { a, queryBytes, replyBytes } from '../../services/dns/dns-wire.ts';
import { testGuest } from '../../support/test-guest.ts';
import { ip } from '../recording.ts';

const answer = (name: string, ...addresses: readonly string[]): Uint8Array =>
  replyBytes(queryBytes(name), { answers: addresses.map((address) => a(name, address, 900)) });

describe('proxy/flows/guest-names', () => {
  it('the name asked for, of each address, whatever aliases lead there; the last one wins', () => {
    const names = new GuestNames();
    const guest = testGuest();
    const asked = queryBytes('www.example.com');
    names.learn(
      0,
      guest,
      replyBytes(asked, {
        answers: [
          { type: 'CNAME', name: 'www.example.com', data: 'edge.cdn.example' },
          a('edge.cdn.example', '192.0.2.1'),
          a('edge.cdn.example', '192.0.2.2'),
        ],
        additionals: [a('ns.cdn.example', '192.0.2.3')],
      }),
    );
    assert.equal(names.find(0, guest, ip('192.0.2.1')), 'www.example.com');
    assert.equal(names.find(0, guest, ip('192.0.2.2')), 'www.example.com');
    assert.equal(names.find(0, guest, ip('192.0.2.3')), undefined);
    names.learn(0, guest, answer('other.example', '192.0.2.2'));
    assert.equal(names.find(0, guest, ip('192.0.2.2')), 'other.example');
    assert.equal(names.budget.held, 3);
  });

  it('of the name and its aliases, in any order, and of no other name in the answer', () => {
    const names = new GuestNames();
    const guest = testGuest();
    const asked = queryBytes('www.example.com');
    const answers = [
      a('unrelated.example', '192.0.2.1'),
      a('edge.cdn.example', '192.0.2.2'),
      { type: 'CNAME', name: 'cdn.example', data: 'edge.cdn.example' },
      { type: 'CNAME', name: 'WWW.example.com', data: 'cdn.example' },
      { type: 'CNAME', name: 'edge.cdn.example', data: 'cdn.example' },
      { type: 'CNAME', name: 'unrelated.example', data: 'www.example.com' },
    ] as const;
    names.learn(0, guest, replyBytes(asked, { answers: [...answers] }));
    assert.equal(names.find(0, guest, ip('192.0.2.1')), undefined);
    assert.equal(names.find(0, guest, ip('192.0.2.2')), 'www.example.com');
    assert.equal(names.budget.held, 1);
  });

  it('of every address of a large answer, behind records of other names', () => {
    const names = new GuestNames();
    const guest = testGuest();
    const asked = queryBytes('www.example.com');
    const numbers = Array.from({ length: 200 }, (_, n) => n);
    const others = numbers.map((n) => a('unrelated.example', `198.51.100.${n}`));
    const answers = numbers.map((n) => a('www.example.com', `192.0.2.${n}`));
    names.learn(0, guest, replyBytes(asked, { answers: [...others, ...answers] }));
    for (const n of numbers) {
      assert.equal(names.find(0, guest, ip(`192.0.2.${n}`)), 'www.example.com');
      assert.equal(names.find(0, guest, ip(`198.51.100.${n}`)), undefined);
    }
  });

  it('of names that are compressed', () => {
    const names = new GuestNames();
    const guest = testGuest();
    const asked = queryBytes('www.example.com');
    const head = Uint8Array.from(asked.subarray(0, 33));
    head.set([0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0], 2);
    const alias = [0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 6, 3, 99, 100, 110, 0xc0, 16];
    const address = [0xc0, 45, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1];
    names.learn(0, guest, Uint8Array.from([...head, ...alias, ...address]));
    assert.equal(names.find(0, guest, ip('192.0.2.1')), 'www.example.com');
  });

  it('all names of an address, none for longer than an hour', () => {
    const names = new GuestNames();
    const guest = testGuest();
    const at = ip('192.0.2.1');
    assert.deepEqual(names.all(0, guest, at), []);
    const day = { answers: [a('day.example', '192.0.2.1', 86_400)] };
    names.learn(0, guest, replyBytes(queryBytes('day.example'), day));
    for (const name of ['a.example', 'b.example', 'a.example']) {
      names.learn(0, guest, answer(name, '192.0.2.1'));
    }
    assert.deepEqual(names.all(0, guest, at), ['day.example', 'b.example', 'a.example']);
    assert.equal(names.budget.held, 3);
    assert.deepEqual(names.all(900_001, guest, at), ['day.example']);
    assert.deepEqual(names.all(KEPT_MOST_MS, guest, at), ['day.example']);
    assert.deepEqual(names.all(KEPT_MOST_MS + 1, guest, at), []);
  });

  it('hundreds of names at one address, and of more the oldest goes', () => {
    const names = new GuestNames();
    const guest = testGuest();
    const at = ip('192.0.2.1');
    const called = (n: number): string => `n${n}.example`;
    for (let n = 0; n < NAMES_OF_ADDRESS; n++) names.learn(n, guest, answer(called(n), `${at}`));
    const every = Array.from({ length: NAMES_OF_ADDRESS }, (_, n) => called(n));
    assert.ok(every.length >= 300, 'as many as content networks have, and more');
    assert.deepEqual(names.all(1_000, guest, at), every);
    names.learn(1_000, guest, answer(called(0), `${at}`));
    assert.deepEqual(names.all(1_000, guest, at), [...every.slice(1), called(0)]);
    names.learn(1_000, guest, answer('more.example', `${at}`));
    assert.deepEqual(names.all(1_000, guest, at), [...every.slice(2), called(0), 'more.example']);
    assert.equal(names.find(1_000, guest, at), 'more.example');
    assert.equal(names.budget.held, NAMES_OF_ADDRESS);
    names.forget(guest);
    assert.equal(names.budget.held, 0);
  });

  it('of too many at one address, one that is granted no longer goes before older ones', () => {
    const names = new GuestNames();
    const guest = testGuest();
    const at = ip('192.0.2.1');
    const lasting = Array.from({ length: NAMES_OF_ADDRESS - 2 }, (_, n) => `n${n}.example`);
    for (const name of lasting) names.learn(0, guest, answer(name, `${at}`));
    for (const name of ['x.example', 'y.example']) {
      const short = { answers: [a(name, `${at}`, 1)] };
      names.learn(0, guest, replyBytes(queryBytes(name), short));
    }
    const later = GRANTED_MS + 1;
    names.learn(later, guest, answer('one.example', `${at}`));
    names.learn(later, guest, answer('two.example', `${at}`));
    assert.deepEqual(names.all(later, guest, at), [...lasting, 'one.example', 'two.example']);
    names.learn(later, guest, answer('three.example', `${at}`));
    assert.equal(names.all(later, guest, at)[0], lasting[1]);
  });

  it('of too many in all, what is granted no longer goes before older ones, but for addresses in use', () => {
    const names = new GuestNames(100);
    const [guest, other] = [testGuest(), testGuest()];
    const brief = (name: string, address: string): Uint8Array =>
      replyBytes(queryBytes(name), { answers: [a(name, address, 1)] });
    for (let n = 0; n < 50; n++) names.learn(0, guest, answer('old.example', `192.0.2.${n}`));
    for (let n = 0; n < 50; n++) names.learn(0, guest, brief('brief.example', `198.51.100.${n}`));
    names.use(guest, ip('198.51.100.7'), 1);
    const later = GRANTED_MS + 1;
    for (let n = 0; n < 49; n++) names.learn(later, other, answer('new.example', `10.0.0.${n}`));
    assert.equal(names.addressesOf(later, guest, 'old.example').length, 50);
    assert.equal(names.find(later, guest, ip('198.51.100.7')), 'brief.example');
    assert.equal(names.find(later, guest, ip('198.51.100.8')), undefined);
    names.learn(later, guest, answer('more.example', '192.0.2.99'));
    assert.equal(names.all(later, guest, ip('192.0.2.0')).length, 0);
    assert.equal(names.budget.held, 100);
  });

  it('every flow to an address has one list of its names, until a name comes or its time is over', () => {
    const names = new GuestNames();
    const guest = testGuest();
    const at = ip('192.0.2.1');
    names.learn(0, guest, answer('long.example', `${at}`));
    const short = { answers: [a('short.example', `${at}`, 60)] };
    names.learn(0, guest, replyBytes(queryBytes('short.example'), short));
    const before = names.all(0, guest, at);
    assert.deepEqual(before, ['long.example', 'short.example']);
    assert.equal(names.all(60_000, guest, at), before);
    assert.deepEqual(names.all(60_001, guest, at), ['long.example']);
    names.learn(60_001, guest, replyBytes(queryBytes('short.example'), short));
    assert.deepEqual(names.all(60_001, guest, at), before);
    assert.deepEqual(names.all(120_002, guest, at), ['long.example']);
    assert.deepEqual(before, ['long.example', 'short.example'], 'what is recorded stays');
  });

  it('by the name asked for last that is shown still', () => {
    const names = new GuestNames();
    const guest = testGuest();
    const at = ip('192.0.2.1');
    const short = { answers: [a('short.example', `${at}`, 1)] };
    names.learn(0, guest, answer('first.example', `${at}`));
    names.learn(0, guest, answer('long.example', `${at}`));
    names.learn(0, guest, replyBytes(queryBytes('short.example'), short));
    assert.equal(names.find(KEPT_MS, guest, at), 'short.example');
    assert.equal(names.find(KEPT_MS + 1, guest, at), 'long.example');
  });

  it('IPv6 addresses', () => {
    const names = new GuestNames();
    const guest = testGuest();
    const reply = replyBytes(queryBytes('six.example', 'AAAA'), {
      answers: [{ type: 'AAAA', name: 'six.example', ttl: 9, data: '2001:db8::5' }],
    });
    names.learn(0, guest, reply);
    assert.equal(names.find(0, guest, ip('2001:db8::5')), 'six.example');
  });

  it('of one guest are not those of another', () => {
    const names = new GuestNames();
    const [one, other] = [testGuest(), testGuest()];
    names.learn(0, one, answer('one.example', '192.0.2.1'));
    assert.equal(names.find(0, other, ip('192.0.2.1')), undefined);
  });

  it('for their TTL, and five minutes at least', () => {
    const names = new GuestNames();
    const guest = testGuest();
    names.learn(0, guest, answer('long.example', '192.0.2.1'));
    const short = { answers: [a('short.example', '192.0.2.2', 1)] };
    names.learn(0, guest, replyBytes(queryBytes('short.example'), short));
    assert.equal(names.find(KEPT_MS, guest, ip('192.0.2.2')), 'short.example');
    assert.equal(names.find(KEPT_MS + 1, guest, ip('192.0.2.2')), undefined);
    assert.equal(names.find(900_000, guest, ip('192.0.2.1')), 'long.example');
    assert.equal(names.find(900_001, guest, ip('192.0.2.1')), undefined);
  });

  it('a flow may go there by it for its TTL, and half a minute at least', () => {
    const names = new GuestNames();
    const guest = testGuest();
    const at = ip('192.0.2.2');
    const short = { answers: [a('short.example', '192.0.2.2', 1)] };
    names.learn(0, guest, replyBytes(queryBytes('short.example'), short));
    assert.deepEqual(names.all(GRANTED_MS, guest, at), ['short.example']);
    assert.deepEqual(names.addressesOf(GRANTED_MS, guest, 'short.example').map(String), [
      '192.0.2.2',
    ]);
    assert.deepEqual(names.all(GRANTED_MS + 1, guest, at), []);
    assert.deepEqual(names.addressesOf(GRANTED_MS + 1, guest, 'short.example'), []);
    assert.equal(names.find(GRANTED_MS + 1, guest, at), 'short.example');
  });

  it('neither the newest answer nor the address of an open connection is forgotten for others', () => {
    const names = new GuestNames(100);
    const guest = testGuest();
    const used = ip('192.0.2.1');
    names.learn(0, guest, answer('used.example', '192.0.2.1'));
    names.use(guest, used, 1);
    names.use(guest, used, 1);
    const many = Array.from({ length: 32 }, (_, n) => `198.51.100.${n}`);
    for (let n = 0; n < 1_000; n++) {
      names.learn(0, guest, answer(`n${n}.example`, ...many.slice(0, 1 + (n % 32))));
    }
    names.learn(0, guest, answer('newest.example', ...many));
    for (const text of many) assert.equal(names.find(0, guest, ip(text)), 'newest.example');
    assert.deepEqual(names.all(0, guest, used), ['used.example']);
    names.use(guest, used, -1);
    names.use(guest, used, -1);
    for (let n = 0; n < 200; n++) names.learn(0, guest, answer('x.example', `10.0.0.${n}`));
    assert.deepEqual(names.all(0, guest, used), []);
    assert.equal(names.budget.held, 100);
  });

  it('where every address is in use the oldest gives way', () => {
    const names = new GuestNames(3);
    const guest = testGuest();
    for (let n = 1; n < 6; n++) {
      names.learn(0, guest, answer('x.example', `192.0.2.${n}`));
      names.use(guest, ip(`192.0.2.${n}`), 1);
    }
    assert.equal(names.budget.held, 3);
    assert.deepEqual(names.all(0, guest, ip('192.0.2.5')), ['x.example']);
  });

  it('bounded: a guest that asks without end forgets its own oldest, and none of the others', () => {
    const names = new GuestNames(100);
    const [busy, quiet] = [testGuest(), testGuest()];
    for (let n = 0; n < 10; n++) names.learn(0, quiet, answer('quiet.example', `192.0.2.${n}`));
    for (let n = 0; n < 5_000; n++) {
      names.learn(0, busy, answer(`n${n}.example`, `10.0.${n >> 8}.${n & 255}`));
    }
    assert.equal(names.budget.held, 100);
    for (let n = 0; n < 10; n++) {
      assert.equal(names.find(0, quiet, ip(`192.0.2.${n}`)), 'quiet.example');
    }
    assert.equal(names.find(0, busy, ip('10.0.19.135')), 'n4999.example');
    assert.equal(names.find(0, busy, ip('10.0.0.0')), undefined);
    names.forget(busy);
    assert.equal(names.budget.held, 10);
  });

  it('learns nothing of queries, failures, other types and broken messages', () => {
    const names = new GuestNames();
    const guest = testGuest();
    const asked = queryBytes('x.example');
    const answers = [a('x.example', '192.0.2.1')];
    names.learn(0, guest, asked);
    names.learn(0, guest, replyBytes(asked, { rcode: 3, answers }));
    names.learn(0, guest, replyBytes(queryBytes('x.example', 'TXT'), { answers }));
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(60), (noise, cut) => {
        names.learn(0, guest, noise);
        names.learn(0, guest, replyBytes(asked, { answers }).subarray(0, Math.min(cut, 30)));
      }),
    );
    assert.equal(names.find(0, guest, ip('192.0.2.1')), undefined);
  });
});
