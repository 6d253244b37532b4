import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { startFileServer } from '../../src/lab/file-server.ts';
import { seededSha256 } from '../../src/lab/seeded-stream.ts';
import { createNetwork } from '../../src/network/create-network.ts';
import { systemSuite } from '../support/requirements.ts';
import { Background } from './support/processes.ts';

const V86_MAIN = fileURLToPath(new URL('./support/v86-main.js', import.meta.url));
const SIZE = 1_000_000;
const SEED = 3;

systemSuite('v86, an emulator for browsers, by WebSocket', ['v86'], function () {
  this.timeout(280_000);

  it('boots Linux, which gets a lease, pings by both families, and downloads', async () => {
    const server = await startFileServer('127.0.0.1', 0);
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    const network = await createNetwork({ listen: 'ws:127.0.0.1:0', ipv6: 'on' });
    const { gateway, hostIp, ipv6, links } = network.view.info();
    const url = links[0]?.link.replace('ws:', 'ws://') ?? '';
    const script = [
      "printf '#!/bin/sh\\n[ $1 = bound ] || exit 0\\nip addr add $ip/$mask dev eth0\\nip route add default via $router\\necho LEASE $ip\\n' >/lease",
      'chmod +x /lease',
      'udhcpc -i eth0 -n -q -t 20 -T 1 -s /lease',
      `ping -c 2 ${gateway}`,
      'i=0',
      'until ip -6 addr show dev eth0 scope global | grep -v tentative | grep -q inet6 || [ $i -gt 30 ]; do sleep 1; i=$((i+1)); done',
      `ping -6 -c 5 ${ipv6?.gateway}`,
      `wget -q -O - http://${hostIp}:${address.port}/bytes/${SIZE}?seed=${SEED} | sha256sum`,
    ].join('\n');
    const machine = new Background([process.execPath, V86_MAIN, url, script], {});
    try {
      await machine.prints(/^END/m, 250_000);
      assert.match(machine.stdout, /^LEASE 192\.168\.127\.2\r?$/m, machine.stdout);
      const pings = machine.stdout.match(/^\d packets transmitted, [1-9] packets received/gm);
      assert.equal(pings?.length, 2, machine.stdout);
      assert.ok(machine.stdout.includes(seededSha256(SEED, SIZE)), machine.stdout);
    } finally {
      await machine.stop();
      await network.close();
      server.closeAllConnections();
      server.close();
    }
  });
});
