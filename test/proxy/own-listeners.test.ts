import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { OwnListeners } from '../../src/proxy/own-listeners.ts';

const LOCAL = ['127.0.0.1', '10.0.0.5', '::1', '2001:db8::5'];

/** What was bound, what a guest's connection goes to, and whether it is refused. */
const TABLE: readonly (readonly [string, string, boolean])[] = [
  ['127.0.0.1', '127.0.0.1', true],
  ['127.0.0.1', '10.0.0.5', false],
  ['127.0.0.2', '127.0.0.1', false],
  ['10.0.0.5', '10.0.0.5', true],
  ['10.0.0.5', '127.0.0.1', false],
  ['0.0.0.0', '127.0.0.1', true],
  ['0.0.0.0', '10.0.0.5', true],
  ['0.0.0.0', '10.0.0.6', false],
  ['0.0.0.0', '::1', false],
  ['::', '127.0.0.1', true],
  ['::', '10.0.0.5', true],
  ['::', '2001:db8::5', true],
  ['::', '2001:db8::6', false],
  ['::1', '::1', true],
  ['2001:DB8:0::5', '2001:db8::5', true],
];

describe('proxy/own-listeners', () => {
  for (const [bound, to, refused] of TABLE) {
    it(`bound to ${bound}, ${refused ? 'it is' : 'it is not'} reached by ${to}`, () => {
      const own = new OwnListeners((address) => LOCAL.includes(address));
      own.add(bound, 7777);
      assert.equal(own.includes(to, 7777), refused);
      assert.equal(own.includes(to, 7778), false, 'another port is not ours');
    });
  }

  it('asks whose an address is only when the port is ours', () => {
    const own = new OwnListeners(() => assert.fail('asked'));
    own.add('0.0.0.0', 7777);
    assert.equal(own.includes('10.0.0.5', 80), false);
  });

  it("knows the addresses of this host's interfaces", () => {
    const own = new OwnListeners();
    own.add('0.0.0.0', 7777);
    const mine = Object.values(networkInterfaces()).flatMap((entries) => entries ?? []);
    for (const { address, family } of mine) {
      if (family === 'IPv4') assert.equal(own.includes(address, 7777), true, address);
    }
    assert.equal(own.includes('192.0.2.1', 7777), false);
  });
});
