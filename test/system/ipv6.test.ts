/** IPv6 from a real guest kernel to the host, to the outside and back. The guest's address and route are set by hand. */
import assert from 'node:assert/strict';
import { LAB, systemSuite } from '../support/requirements.ts';
import { download, upload } from './support/clients.ts';
import type { Daemon } from './support/daemon.ts';
import { addGuestIpv6, addIpv6, GATEWAY6, HOST6, OUTSIDE6, SUBNET6 } from './support/ipv6.ts';
import { type Guest, HTTP_PORT, Lab } from './support/lab.ts';

const MIB = 1 << 20;

systemSuite('IPv6 of a real guest', [...LAB, 'ipv6', 'curl', 'ping', 'iperf3'], function () {
  this.timeout(60_000);
  let lab: Lab;
  let guest: Guest;
  let daemon: Daemon;

  before(async () => {
    lab = await Lab.open();
    await addIpv6(lab);
    ({ daemon, guest } = await lab.standard(['--subnet6', SUBNET6]));
    await addGuestIpv6(guest);
    await lab.startServers(lab.host, '::1');
    await lab.startServers(lab.outside, OUTSIDE6);
  });
  after(() => lab.close());
  afterEach(() => assert.ok(daemon.isRunning, daemon.stderr));

  for (const [where, address] of [
    ["the host's loopback", HOST6],
    ['the outside', OUTSIDE6],
  ] as const) {
    it(`64 MiB each way, sums equal: ${where}`, async () => {
      const url = `http://[${address}]:${HTTP_PORT}`;
      await download(guest, url, 64 * MIB);
      await upload(guest, url, 64 * MIB);
    });

    it(`ping: ${where}`, async () => {
      const { stdout } = await guest.try('ping', '-6', '-c', '3', '-i', '0.2', '-W', '2', address);
      assert.match(stdout, / 3 received/);
    });
  }
  it('ping: the gateway', async () => {
    const { stdout } = await guest.try('ping', '-6', '-c', '2', '-i', '0.2', '-W', '2', GATEWAY6);
    assert.match(stdout, / 2 received/);
  });
});
