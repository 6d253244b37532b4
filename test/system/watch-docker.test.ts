/** `hawser agent --watch-docker` beside a real dockerd that knows nothing of hawser. */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { Docker, ECHO, HTTPD } from './support/docker.ts';
import { type Guest, Lab } from './support/lab.ts';
import { succeed } from './support/processes.ts';
import { published as publishedBy } from './support/published.ts';
import { until } from './support/until.ts';

const MUX_PORT = 4099;
const AGENT = fileURLToPath(new URL('../../hawser-agent.mjs', import.meta.url));

systemSuite(
  'agent --watch-docker',
  [...LAB, 'docker', 'iptables', 'gcc', 'curl', 'nc'],
  function () {
    this.timeout(120_000);
    let lab: Lab;
    let guest: Guest;
    let daemon: Daemon;
    let docker: Docker;

    before(async () => {
      lab = await Lab.open();
      const api = ['--guest-api', 'on', '--mux', `guest:${MUX_PORT}`];
      ({ guest, daemon } = await lab.standard(api));
      // As Docker Engine 29 may be run: ports are translated, on the loopback too, and no proxy serves them.
      docker = new Docker(lab, guest, { args: ['--userland-proxy=false'] });
      const args = ['--listen', `tcp:0.0.0.0:${MUX_PORT}`];
      const watched = ['--watch-docker', docker.socket];
      const agent = guest.start([process.execPath, AGENT, ...args, ...watched]);
      await agent.prints(/multiplexer up/);
      await docker.start(); // later than the agent
      await docker.importImage();
    });
    after(async () => {
      await docker?.close();
      await lab?.close();
    });
    afterEach(async () => {
      assert.ok(daemon.isRunning, daemon.stderr);
      await docker.removeContainers();
      await becomes([]);
    });

    const published = (): Promise<string[]> => publishedBy(daemon, 'mux');
    const becomes = async (expected: readonly string[]): Promise<void> => {
      await until(`ports ${expected.join(', ')}`, async () => {
        const ports = (await published()).filter((port) => !port.startsWith('::'));
        return ports.toSorted().join() === expected.toSorted().join();
      });
    };
    const answers = async (port: number): Promise<string> =>
      await until(
        `port ${port} to answer`,
        async () => await lab.host.run('curl', '-sS', '-m', '5', `http://127.0.0.1:${port}/`),
      );

    it('a container is reached by its published port, and gone with it', async () => {
      const id = await docker.container('web', ['8080:80'], HTTPD);
      assert.equal(await answers(8080), `hello from ${id.slice(0, 12)}\n`);
      await becomes(['127.0.0.1 8080/tcp']);
      await docker.run('stop', 'web');
      await becomes([]);
      await docker.run('start', 'web');
      await answers(8080);
      await docker.run('restart', 'web');
      await answers(8080);
      await docker.run('kill', 'web'); // the last event comes before the engine lists it no more
      await becomes([]);
    });

    it('a listener that drops everything, as Docker Engine 29 makes them', async () => {
      await docker.container('web', ['8087:80'], HTTPD);
      await answers(8087);
      const dockerd = docker.processes().find(({ argv }) => argv[0] === 'dockerd')?.pid;
      const dropAll = lab.path('drop-all');
      await succeed(['gcc', '-O2', '-o', dropAll, 'test/system/support/drop-all.c']);
      assert.equal(await succeed([dropAll, `${dockerd}`, '8087']), '1\n');
      assert.match(await answers(8087), /hello/);
    });

    it('published on the loopback of the guest only', async () => {
      await docker.container('lo', ['127.0.0.1:8081:80'], HTTPD);
      assert.match(await answers(8081), /hello/);
    });

    it('UDP', async () => {
      await docker.container('echo', ['8082:80/udp'], ECHO);
      await becomes(['127.0.0.1 8082/udp']);
      await until('the datagram to come back', async () => {
        const script = 'echo ping | nc -u -w 1 127.0.0.1 8082';
        return (await lab.host.run('sh', '-c', script)) === 'ping\n';
      });
    });

    it('labels leave out, and rename', async () => {
      const run = ['run', '-d', '--stop-timeout', '1', '-p', '8083:80', '-p', '8084:81'];
      const labels = ['--label', 'hawser.port.8083=9083', '--label', 'hawser.port.8084=no'];
      await docker.run(...run, ...labels, 'hawser-test', 'sh', '-c', HTTPD);
      assert.match(await answers(9083), /hello/);
      await becomes(['127.0.0.1 9083/tcp']);
    });

    it('down and up again, a network attached later', async () => {
      for (let round = 0; round < 2; round++) {
        await docker.run('network', 'create', 'app');
        await docker.container('web', ['8085:80'], HTTPD);
        await docker.run('network', 'connect', 'app', 'web');
        assert.match(await answers(8085), /hello/);
        await docker.run('rm', '-f', 'web');
        await docker.run('network', 'rm', 'app');
        await becomes([]);
      }
    });

    it('dockerd restarts: what runs no more is withdrawn, what comes later is published', async () => {
      await docker.container('web', ['8086:80'], HTTPD);
      await answers(8086);
      await docker.stop();
      await docker.start();
      await becomes([]);
      await docker.run('start', 'web');
      assert.match(await answers(8086), /hello/);
    });
  },
);
