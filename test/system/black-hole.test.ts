/** IPv6 of the host that leads nowhere, silently, or NAT64's IPv4: guests' clients are on IPv4 as fast as on the host itself. */
import assert from 'node:assert/strict';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { addIpv6 } from './support/ipv6.ts';
import { type Guest, HTTP_PORT, Lab, OUTSIDE } from './support/lab.ts';
import { until } from './support/until.ts';

/** Beside it a guest prefers IPv6 (RFC 6724): it is no unique local one. */
const SUBNET6 = '2001:db8:19:1::/64';
/** At a station of the host's network that does not exist. */
const NOBODY = ['198.18.0.99', '2001:db8:18::99'] as const;
const NOBODY_MAC = '02:00:00:00:00:99';
const HOLES = [
  ['IPv6', NOBODY[1]],
  ['IPv4 by NAT64', '64:ff9b::b01:163'],
] as const;
/** curl waits 200 ms for IPv6 (RFC 8305). */
const MOST_MS = 400;
const ROUNDS = 5;

systemSuite('an IPv6 black hole on the host', [...LAB, 'ipv6', 'curl'], function () {
  this.timeout(60_000);
  let lab: Lab;
  let guest: Guest;
  let daemon: Daemon;

  before(async () => {
    lab = await Lab.open();
    await addIpv6(lab);
    for (const address of NOBODY) {
      const station = ['lladdr', NOBODY_MAC, 'dev', 'up0', 'nud', 'permanent'];
      await lab.host.run('ip', 'neigh', 'add', address, ...station);
    }
    await lab.host.run('ip', 'route', 'add', '11.1.1.0/24', 'via', NOBODY[0]);
    await lab.startServers(lab.outside);
    ({ daemon, guest } = await lab.standard(['--subnet6', SUBNET6, '--nat64']));
    await until('a default route', async () =>
      /^default via fe80:/m.test(await guest.run('ip', '-6', 'route')),
    );
    await until('an address', async () =>
      /inet6 2001:db8:19:1:\S+ scope global dynamic/.test(await guest.run('ip', '-6', 'addr')),
    );
  });
  after(() => lab.close());

  for (const [what, hole] of HOLES) {
    it(`${what}: a guest has its IPv4 within 400 ms by curl, which tries IPv6 first`, async () => {
      const name = 'www.example';
      const times: number[] = [];
      for (let i = 0; i < ROUNDS; i++) {
        const shown = await guest.run(
          ...['curl', '-sS', '-m', '5', '-o', '/dev/null', '-w', '%{remote_ip} %{time_connect}'],
          ...['--resolve', `${name}:${HTTP_PORT}:[${hole}],${OUTSIDE}`],
          `http://${name}:${HTTP_PORT}/bytes/1000?seed=1`,
        );
        const [address = '', seconds = ''] = shown.trim().split(' ');
        assert.equal(address, OUTSIDE);
        times.push(Number(seconds) * 1000);
      }
      const best = Math.min(...times);
      assert.ok(best >= 150, `IPv6 was not tried: ${times}`);
      assert.ok(best < MOST_MS, `${times}`);
    });

    it(`${what}: nothing answers the SYN, which is held for as long as the host tries`, async () => {
      const { status } = await guest.try('curl', '-g', '-m', '2', `http://[${hole}]:${HTTP_PORT}/`);
      assert.equal(status, 28, 'curl gave up, and was neither accepted nor refused');
      assert.ok(daemon.isRunning, daemon.stderr);
    });
  }
});
