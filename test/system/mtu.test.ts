import assert from 'node:assert/strict';
import { LAB, systemSuite } from '../support/requirements.ts';
import { client, download, upload } from './support/clients.ts';
import type { Daemon } from './support/daemon.ts';
import { SUBNET6, slaacAddress } from './support/ipv6.ts';
import { type Guest, HOST, HTTP_PORT, Lab, OUTSIDE } from './support/lab.ts';

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

  describe('of a guest that is larger than the network’s', () => {
    const LARGE = 4000;
    const startDaemon = (): Promise<Daemon> =>
      lab.startDaemon(['--listen', `qemu:${lab.path('qemu.sock')}`, '--subnet6', SUBNET6]);
    /** On a socket; DHCP and the router have set the MTU, and somebody sets it back. */
    const addGuest = async (mtu: number): Promise<Guest> => {
      const guest = await lab.addGuest({ bridgeTo: lab.path('qemu.sock'), mtu });
      await guest.plug();
      await guest.lease();
      await guest.run('ip', 'link', 'set', 'eth0', 'mtu', `${mtu}`);
      await slaacAddress(guest);
      const ipv6 = 'net.ipv6.conf.eth0';
      await guest.run('sysctl', '-qw', `${ipv6}.accept_ra_mtu=0`, `${ipv6}.mtu=${mtu}`);
      return guest;
    };
    const addressOf = async (guest: Guest): Promise<string> => {
      const list = await guest.run('ip', '-4', '-o', 'addr', 'show', 'dev', 'eth0');
      return /inet ([0-9.]+)/.exec(list)?.[1] ?? '';
    };
    const ping = async (guest: Guest, ...args: string[]): Promise<string> => {
      const { stdout } = await guest.try('ping', '-c', '2', '-i', '0.2', '-W', '1', ...args);
      return stdout;
    };
    const WHOLE = ['-M', 'do', '-s', '3000'];

    it('datagrams and segments go to hosts whole', async () => {
      const daemon = await startDaemon();
      const guest = await addGuest(LARGE);
      assert.match(await ping(guest, ...WHOLE, OUTSIDE), /2 received/);
      assert.deepEqual(await client(guest, 'udp', HOST, `${HTTP_PORT + 5}`, '3900'), {
        equal: true,
      });
      await upload(guest, `http://${HOST}:${HTTP_PORT}`, SIZE);
      await download(guest, `http://${HOST}:${HTTP_PORT}`, SIZE);
      assert.doesNotMatch(await daemon.request('/metrics'), /too-big/);
    });

    it('a guest with the network’s gets none as long; the sender gets the MTU by ICMP, in both families', async () => {
      const daemon = await startDaemon();
      const [large, small] = [await addGuest(LARGE), await addGuest(1500)];
      assert.match(await ping(large, ...WHOLE, await addressOf(small)), /rag needed.*mtu ?= ?1500/);
      assert.match(await ping(large, ...WHOLE, await slaacAddress(small)), /too big: mtu=1500/);
      assert.match(await daemon.request('/metrics'), /frame-above-mtu/);
      assert.match(await ping(large, '-s', '3000', await addressOf(small)), /[12] received/);
    });

    it('guests that both send such frames have them from each other', async () => {
      await startDaemon();
      const [one, two] = [await addGuest(LARGE), await addGuest(LARGE)];
      for (const guest of [one, two]) {
        assert.match(await ping(guest, '-M', 'do', '-s', '3500', OUTSIDE), /2 received/);
      }
      assert.match(await ping(one, ...WHOLE, await addressOf(two)), /2 received/);
      assert.match(await ping(two, ...WHOLE, await slaacAddress(one)), /2 received/);
    });
  });
});
