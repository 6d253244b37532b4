/** A peer whose machine vanished without a word: its descriptors and flows are given back. */
import assert from 'node:assert/strict';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { type Guest, HOST_OUTER, Lab, OUTSIDE } from './support/lab.ts';
import type { Background } from './support/processes.ts';
import { until } from './support/until.ts';

const PUBLISHED = 18_200;
const SERVED = 7000;
const IDLE_S = 1;
/** Nine probes, a second apart, and what a busy machine adds. */
const BOUND_MS = (IDLE_S + 9) * 1000 + 4_000;

systemSuite('keepalive', [...LAB, 'iptables', 'nc'], function () {
  this.timeout(60_000);
  let lab: Lab;
  let guest: Guest;
  let daemon: Daemon;

  /** Connections of the host's that have a socket. */
  const sockets = async (): Promise<number> =>
    (await lab.host.run('ss', '-Htn', 'dst', OUTSIDE)).split('\n').filter((line) => line !== '')
      .length;
  const tcpFlows = async (): Promise<number> =>
    (await daemon.flows()).filter(({ protocol }) => protocol === 'tcp').length;

  before(async () => {
    lab = await Lab.open();
    ({ daemon, guest } = await lab.standard([
      ...['-p', `0.0.0.0:${PUBLISHED}:${SERVED}`],
      ...['--keepalive', String(IDLE_S)],
    ]));
    for (const where of [guest, lab.outside]) {
      where.start(['nc', '-kl', '0.0.0.0', String(SERVED)]);
      await until('a server', async () => (await where.run('ss', '-Hltn')).includes(`:${SERVED}`));
    }
  });
  after(() => lab.close());
  afterEach(() => assert.ok(daemon.isRunning, daemon.stderr));

  const startClient = (): Background => lab.outside.start(['nc', HOST_OUTER, String(PUBLISHED)]);

  it('a client that is only silent stays', async () => {
    const silent = startClient();
    await until('the flow', async () => (await tcpFlows()) === 1);
    const since = performance.now();
    await until('the bound', () => performance.now() - since > BOUND_MS, BOUND_MS + 1000);
    assert.equal(await tcpFlows(), 1);
    silent.kill('SIGTERM');
    await until('the flow to end', async () => (await tcpFlows()) === 0);
    await until('its socket to go', async () => (await sockets()) === 0);
  });

  it('a client that vanishes, and a server, keep no descriptor', async () => {
    startClient();
    guest.start(['nc', OUTSIDE, String(SERVED)]);
    await until('both flows', async () => (await tcpFlows()) === 2);
    await until('their sockets', async () => (await sockets()) === 2);
    for (const chain of ['INPUT', 'OUTPUT']) {
      await lab.outside.run('iptables', '-I', chain, '-j', 'DROP');
    }
    await until('the flows to end', async () => (await tcpFlows()) === 0, BOUND_MS);
    assert.equal(await sockets(), 0);
  });
});
