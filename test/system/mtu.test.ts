import assert from 'node:assert/strict';
import { LAB, systemSuite } from '../support/requirements.ts';
import { client, download, upload } from './support/clients.ts';
import { HOST, HTTP_PORT, Lab, OUTSIDE } from './support/lab.ts';

const SIZE = 16 << 20;
/** Payload of the longest IPv4 packet after eight bytes of UDP or ICMP. */
const UDP_MAX = 65_507;

systemSuite('MTU', [...LAB, 'gcc', 'ping'], function () {
  this.timeout(60_000);
  let lab: Lab;
  beforeEach(async () => {
    lab = await Lab.open();
    await lab.startServers(lab.host);
  });
  afterEach(() => lab.close());

  for (const mtu of [576, 1500, 9000, 65_520]) {
    for (const link of ['tap', 'qemu'] as const) {
      it(`${mtu} on a ${link}: link is announced by DHCP, and carries TCP and fragments`, async () => {
        const socket = lab.path('qemu.sock');
        const guest = await lab.addGuest(link === 'tap' ? {} : { bridgeTo: socket });
        const listen = link === 'tap' ? guest.link : `qemu:${socket}`;
        await lab.startDaemon(['--listen', listen, '--mtu', String(mtu)]);
        await guest.plug();
        const lease = await guest.lease();
        assert.equal(lease.mtu, mtu);
        assert.match(await guest.run('ip', 'link', 'show', 'eth0'), new RegExp(`mtu ${mtu} `));
        const server = `http://${HOST}:${HTTP_PORT}`;
        await download(guest, server, SIZE);
        await upload(guest, server, SIZE);
        const ping = await guest.run(
          'ping',
          '-c',
          '1',
          '-W',
          '2',
          '-s',
          `${Math.min(mtu, UDP_MAX)}`,
          OUTSIDE,
        );
        assert.match(ping, /1 received/);
        assert.deepEqual(
          await client(guest, 'udp', HOST, `${HTTP_PORT + 5}`, `${Math.min(2 * mtu, UDP_MAX)}`),
          {
            equal: true,
          },
        );
      });
    }
  }
});
