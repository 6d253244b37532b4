import assert from 'node:assert/strict';
import { z } from 'zod';
import { LAB, systemSuite } from '../support/requirements.ts';
import { download, upload } from './support/clients.ts';
import { HOST6, SUBNET6, slaacAddress } from './support/ipv6.ts';
import { HOST, HTTP_PORT, Lab } from './support/lab.ts';

const SIZE = 100 * (1 << 20);
/** As `tc netem loss 2% delay 1ms 500us reorder 2%` on both directions of the guest's wire. */
const IMPAIR = '20,1000,500,20,42';
const Counters = z.object({ lost: z.number(), reordered: z.number() });

systemSuite('a bad wire', [...LAB, 'gcc', 'ipv6'], function () {
  this.timeout(180_000);
  let lab: Lab;
  beforeEach(async () => {
    lab = await Lab.open();
  });
  afterEach(() => lab.close());

  for (const [family, host] of [
    ['IPv4', HOST],
    ['IPv6', `[${HOST6}]`],
  ] as const) {
    it(`100 MiB each way at once by ${family} through loss, delay and reordering; sums equal`, async () => {
      const socket = lab.path('qemu.sock');
      await lab.startServers(lab.host);
      await lab.startDaemon(['--listen', `qemu:${socket}`, '--subnet6', SUBNET6]);
      const guest = await lab.addGuest({ bridgeTo: socket, impair: IMPAIR });
      const bridge = await guest.plug();
      await guest.lease();
      await slaacAddress(guest);
      const server = `http://${host}:${HTTP_PORT}`;
      await Promise.all([download(guest, server, SIZE), upload(guest, server, SIZE)]);
      await bridge?.stop('SIGTERM');
      const { lost, reordered } = Counters.parse(JSON.parse(bridge?.stdout ?? ''));
      assert.ok(lost > 1000 && reordered > 1000, `${lost} lost, ${reordered} reordered`);
    });
  }
});
