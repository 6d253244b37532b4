import assert from 'node:assert/strict';
import { LeaseNames } from '../../src/network/lease-names.ts';
import type { Lease } from '../../src/services/dhcp/lease.ts';

const MAC = 0x0200_0000_0001;
const nameless: Lease = {
  address: '192.168.127.3',
  mac: '02:00:00:00:00:02',
  expiresAtMs: 0,
  static: false,
  state: 'bound',
};
const named: Lease = {
  ...nameless,
  address: '192.168.127.2',
  mac: '02:00:00:00:00:01',
  hostname: 'build',
};

describe('network/lease-names', () => {
  const names = new LeaseNames([named, nameless]);

  it('finds a guest by address, and by any of its Ethernet addresses', () => {
    assert.equal(names.at('192.168.127.2'), 'build');
    assert.equal(names.at('192.168.127.3'), undefined);
    assert.equal(names.at(null), undefined);
    assert.equal(names.of({ macs: [7, MAC] }), 'build');
    assert.equal(names.of({ macs: [7] }), null);
    assert.equal(names.of(undefined), null);
  });

  it('looks through the addresses of a guest once', () => {
    let looked = 0;
    const guest = {
      get macs() {
        looked++;
        return Array.from({ length: 3_000 }, (_, i) => i);
      },
    };
    for (let i = 0; i < 100; i++) assert.equal(names.of(guest), null);
    assert.equal(looked, 1);
  });
});
