import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { HandshakeStep } from '../../../src/services/upstream-proxy/handshake.ts';
import type { ProxyCredentials } from '../../../src/services/upstream-proxy/proxy-server.ts';
import {
  readSocksAddress,
  readSocksDatagram,
  SOCKS_UDP_ASSOCIATE,
  Socks5Handshake,
  socksAddress,
  socksDatagramHeader,
} from '../../../src/services/upstream-proxy/socks5.ts';

const TARGET = { host: 'a.test', port: 443 };
const SECRET: ProxyCredentials = { user: 'u', password: 'pw' };
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const from = (text: string): Uint8Array => Buffer.from(text, 'hex');

/** What the client sends, step by step, and how it ends. */
function exchange(handshake: Socks5Handshake, ...answers: readonly string[]): readonly string[] {
  const said = [hex(handshake.hello)];
  for (const answer of answers) {
    const bytes = from(answer);
    let step: HandshakeStep = 'more';
    for (let at = 0; at < bytes.length && step === 'more'; at++)
      step = handshake.push(bytes, at, at + 1);
    if (step === 'more') said.push('more');
    else if ('send' in step) said.push(hex(step.send));
    else said.push('code' in step ? step.code : 'open');
  }
  return said;
}
const NAMED = '0501000306612e7465737401bb';

describe('services/upstream-proxy: SOCKS 5', () => {
  it('connects by a name, without authentication', () => {
    const handshake = new Socks5Handshake(TARGET, undefined);
    assert.deepEqual(exchange(handshake, '0500', '0500000100000000' + '0000'), [
      '050100',
      NAMED,
      'open',
    ]);
  });

  it('connects with a user name and a password where the proxy wants them', () => {
    const said = exchange(
      new Socks5Handshake(TARGET, SECRET),
      '0502',
      '0100',
      '05000001' + '7f0000010438',
    );
    assert.deepEqual(said, ['05020002', '010175027077', NAMED, 'open']);
    const free = exchange(new Socks5Handshake(TARGET, SECRET), '0500');
    assert.deepEqual(free, ['05020002', NAMED]);
  });

  it('has each type of address', () => {
    assert.equal(hex(socksAddress({ host: '192.0.2.1', port: 80 })), '01c00002010050');
    assert.equal(
      hex(socksAddress({ host: '2001:db8::1', port: 80 })),
      '0420010db80000000000000000000000010050',
    );
    for (const host of ['192.0.2.1', '2001:db8::1', 'a.test']) {
      const bytes = socksAddress({ host, port: 4660 });
      assert.deepEqual(readSocksAddress(bytes, 0), { host, port: 4660, end: bytes.length });
    }
  });

  it('says where the proxy relays datagrams', () => {
    const other = new Socks5Handshake({ host: '0.0.0.0', port: 0 }, undefined, SOCKS_UDP_ASSOCIATE);
    const said = exchange(other, '0500', '050000017f0000011f90');
    assert.deepEqual(said, ['050100', '05030001000000000000', 'open']);
    assert.deepEqual([other.bound?.host, other.bound?.port], ['127.0.0.1', 8080]);
  });

  const failures: readonly (readonly [string, readonly string[], string])[] = [
    ['another version', ['04'], 'EPROTO'],
    ['HTTP', ['48545450'], 'EPROTO'],
    ['no method', ['05ff'], 'EACCES'],
    ['a password that was not offered', ['0502'], 'EACCES'],
    ['a general failure', ['0500', '0501'], 'EHOSTUNREACH'],
    ['its rules', ['0500', '0502'], 'EACCES'],
    ['a network that is unreachable', ['0500', '0503'], 'ENETUNREACH'],
    ['a refusal', ['0500', '0505'], 'ECONNREFUSED'],
    ['a command that it does not have', ['0500', '0507'], 'EOPNOTSUPP'],
    ['a reply that nobody knows', ['0500', '0563'], 'EPROTO'],
    ['a type of address that nobody knows', ['0500', '05000009'], 'EPROTO'],
  ];
  for (const [what, answers, code] of failures) {
    it(`fails by ${what}: ${code}`, () => {
      assert.equal(exchange(new Socks5Handshake(TARGET, undefined), ...answers).at(-1), code);
    });
  }

  it('fails where the proxy refuses the password', () => {
    assert.equal(exchange(new Socks5Handshake(TARGET, SECRET), '0502', '0101').at(-1), 'EACCES');
  });

  it('says where the bytes of the flow begin', () => {
    const handshake = new Socks5Handshake(TARGET, undefined);
    exchange(handshake, '0500');
    assert.deepEqual(handshake.push(from('0500000100000000' + '0000' + '5353'), 0, 12), { at: 10 });
  });

  it('puts a header in front of datagrams, and reads none that is a fragment', () => {
    const header = socksDatagramHeader(TARGET);
    assert.equal(hex(header), '0000000306612e7465737401bb');
    assert.deepEqual(readSocksDatagram(header), { ...TARGET, end: header.length });
    for (const bad of ['', '000000', '00000101c00002010050', '010000', '00000009', '00000001c0']) {
      assert.equal(readSocksDatagram(from(bad)), undefined);
    }
  });

  it('never throws, whatever a proxy sends', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (bytes, isOpen) => {
        const handshake = new Socks5Handshake(TARGET, isOpen ? undefined : SECRET);
        let at = 0;
        for (let turns = 0; turns < 4 && at < bytes.length; turns++) {
          const step = handshake.push(bytes, at, bytes.length);
          if (step === 'more' || !('send' in step)) break;
          at += 2;
        }
        readSocksDatagram(bytes);
      }),
    );
  });
});
