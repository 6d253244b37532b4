/** `--subnet6 host`: guests have addresses of the host's own network, off-link, and share it with the host's neighbours. */
import assert from 'node:assert/strict';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { addIpv6, HOST6_OUTER, OUTSIDE6 } from './support/ipv6.ts';
import { type Guest, HTTP_PORT, Lab } from './support/lab.ts';
import { until } from './support/until.ts';

const PUBLISHED = 18_600;
const HELLO = 'hello from the host\n';

systemSuite("guests in the host's IPv6 network", [...LAB, 'ipv6', 'curl'], function () {
  this.timeout(60_000);
  let lab: Lab;
  let guest: Guest;
  let daemon: Daemon;
  let guest6: string;

  before(async () => {
    lab = await Lab.open();
    await addIpv6(lab);
    const port = `*:${PUBLISHED}:${HTTP_PORT}`;
    ({ daemon, guest } = await lab.standard(['--subnet6', 'host', '-p', port]));
    guest6 = await until('an address of the prefix', async () => {
      const list = await guest.run('ip', '-6', '-o', 'addr', 'show', 'dev', 'eth0');
      const line = list.split('\n').find((one) => one.includes(' 2001:db8:18:'));
      return line?.includes('tentative') === false && /inet6 ([0-9a-f:]+)\//.exec(line)?.[1];
    });
    await lab.startServers(guest, guest6);
    await lab.startServers(lab.outside, OUTSIDE6);
  });
  after(() => lab.close());
  afterEach(() => assert.ok(daemon.isRunning, daemon.stderr));

  it("a guest reaches the host's neighbours, whose addresses are of its own prefix", async () => {
    const url = `http://[${OUTSIDE6}]:${HTTP_PORT}/`;
    assert.equal(await guest.run('curl', '-gsS', '-m', '5', url), HELLO);
    const { stdout } = await guest.try('ping', '-6', '-c', '1', '-W', '2', OUTSIDE6);
    assert.match(stdout, / 1 received/);
  });

  it('its ports are published, and by its address too', async () => {
    for (const [where, address] of [
      ['host', '[::1]'],
      ['outside', `[${HOST6_OUTER}]`],
    ] as const) {
      const url = `http://${address}:${PUBLISHED}/`;
      assert.equal(await lab[where].run('curl', '-gsS', '-m', '5', url), HELLO);
    }
    const socket = `${lab.path('hawser')}/default/api.sock`;
    const body = JSON.stringify({
      hostPort: PUBLISHED + 1,
      guestAddress: guest6,
      guestPort: HTTP_PORT,
    });
    const args = ['--unix-socket', socket, '-H', 'content-type: application/json', '-d', body];
    await lab.host.run('curl', '-gsS', ...args, 'http://d/v1/ports');
    const url = `http://[::1]:${PUBLISHED + 1}/`;
    assert.equal(await lab.host.run('curl', '-gsS', '-m', '5', url), HELLO);
  });
});
