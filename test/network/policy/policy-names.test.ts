import assert from 'node:assert/strict';
import { PolicyNames } from '../../../src/network/policy/policy-names.ts';
import { macOf } from '../../../src/wire/mac.ts';
import { testGuest } from '../../support/test-guest.ts';

const MAC = '52:54:00:12:34:56';
const lease = (link: string | undefined) => ({
  ...{ mac: MAC, address: '192.168.127.9', hostname: 'build', link },
});
const on = (name: string) => ({ id: 1, name, attachedAt: 0 });

describe('network/policy/policy-names', () => {
  it('a guest has the names of its link, with and without the number of the connection', () => {
    const guest = testGuest();
    const names = new PolicyNames([]);
    assert.deepEqual(names.of(guest), []);
    guest.link = on('qemu:/run/a.sock#2');
    assert.deepEqual(names.of(guest), ['qemu:/run/a.sock#2', 'qemu:/run/a.sock']);
    guest.link = on('tap:vm');
    assert.deepEqual(names.of(guest), ['tap:vm']);
  });

  it('those of its last link while it is away', () => {
    const guest = testGuest();
    const names = new PolicyNames([]);
    guest.link = on('tap:vm');
    names.of(guest);
    guest.link = undefined;
    assert.deepEqual(names.of(guest), ['tap:vm']);
  });

  it('that of a static lease on the link that it is bound to, with its Ethernet address', () => {
    const names = new PolicyNames([lease('tap:vm')]);
    const [guest, thief] = [testGuest(), testGuest()];
    guest.link = on('tap:vm#1');
    thief.link = on('tap:other');
    assert.deepEqual(names.of(guest), ['tap:vm#1', 'tap:vm']);
    for (const one of [guest, thief]) one.addMac(macOf(MAC));
    assert.deepEqual(names.of(guest), ['tap:vm#1', 'tap:vm', 'build']);
    assert.deepEqual(names.of(thief), ['tap:other']);
    const unbound = new PolicyNames([lease(undefined)]);
    assert.deepEqual(unbound.of(guest), ['tap:vm#1', 'tap:vm']);
  });
});
