/**
 * Ports of containers of a real dockerd, published through the agent's multiplexer; and the other places
 * where `hawser-docker-proxy` may find the daemon.
 */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { Docker, ECHO, fileServer, HTTPD } from './support/docker.ts';
import { GATEWAY, type Guest, HOST_OUTER, HTTP_PORT, Lab } from './support/lab.ts';
import type { Background } from './support/processes.ts';
import { published } from './support/published.ts';
import { until } from './support/until.ts';

const MUX_PORT = 4099;
const FILE_MIB = 32;
const AGENT = fileURLToPath(new URL('../../hawser-agent.mjs', import.meta.url));
/** The guest's address on Docker's bridge. */
const BRIDGE = '172.17.0.1';

systemSuite(
  'dockerd by the agent',
  [...LAB, 'docker', 'iptables', 'gcc', 'curl', 'nc'],
  function () {
    this.timeout(120_000);
    let lab: Lab;
    let guest: Guest;
    let daemon: Daemon;
    let agent: Background;
    let docker: Docker;

    const startAgent = async (): Promise<void> => {
      const forward = `unix:${docker.dir}/hawser/agent.sock=tcp:${GATEWAY}:80`;
      const args = ['--listen', `tcp:0.0.0.0:${MUX_PORT}`, '--forward-to-host', forward];
      agent = guest.start([process.execPath, AGENT, ...args]);
      await agent.prints(/multiplexer up/);
    };

    before(async () => {
      lab = await Lab.open();
      const api = ['--guest-api', 'on', '--guest-api-bind', '*:1-65535'];
      ({ guest, daemon } = await lab.standard([...api, '--mux', `guest:${MUX_PORT}`]));
      docker = new Docker(lab, guest);
      await startAgent();
      await docker.start();
      await docker.importImage();
    });
    after(async () => {
      await docker?.close();
      await lab?.close();
    });
    afterEach(async () => {
      assert.ok(daemon.isRunning, daemon.stderr);
      await docker.removeContainers();
      await until('every port to be free', async () => (await published(daemon)).length === 0);
    });

    const curl = (from: 'host' | 'outside', url: string): Promise<string> =>
      lab[from].run('curl', '-sS', '-m', '5', url);
    /** Until the container's server listens. */
    const answers = async (url: string): Promise<string> =>
      await until(`${url} to answer`, async () => await curl('host', url));

    it('docker run -p 8080:80 answers on the host; the container sees the bridge', async () => {
      const id = await docker.container('web', ['8080:80'], HTTPD);
      const hello = `hello from ${id.slice(0, 12)}\n`;
      assert.equal(await answers('http://127.0.0.1:8080/'), hello);
      assert.equal(await curl('outside', `http://${HOST_OUTER}:8080/`), hello);
      assert.equal(await curl('host', 'http://[::1]:8080/'), hello);
      assert.deepEqual(await published(daemon, 'mux'), ['0.0.0.0 8080/tcp', ':: 8080/tcp']);
      const { stderr } = await docker.try('logs', 'web');
      const clients = [...stderr.matchAll(/^\[.*?(\d+\.\d+\.\d+\.\d+)\]:\d+: url/gm)];
      assert.ok(clients.length >= 3, stderr);
      for (const [line, client] of clients) assert.equal(client, BRIDGE, line);
      await docker.run('rm', '-f', 'web');
      await until('the port to be free', async () => (await published(daemon)).length === 0);
      assert.equal((await lab.host.try('curl', '-sS', 'http://127.0.0.1:8080/')).status, 7);
    });

    it(`${FILE_MIB} MiB arrive as they were, on every address and on the loopback`, async () => {
      const ports = ['8081:80', '127.0.0.1:8082:80'];
      await docker.container('file', ports, fileServer(FILE_MIB));
      await answers('http://127.0.0.1:8081/');
      const sum = (await docker.run('logs', 'file')).split(' ')[0];
      for (const port of [8081, 8082]) {
        const script = `curl -sS -m 30 http://127.0.0.1:${port}/file | sha256sum`;
        assert.equal((await lab.host.run('sh', '-c', script)).split(' ')[0], sum, `${port}`);
      }
      const { status } = await lab.outside.try('curl', '-sS', `http://${HOST_OUTER}:8082/`);
      assert.equal(status, 7);
    });

    it('UDP', async () => {
      await docker.container('echo', ['8083:80/udp'], ECHO);
      assert.deepEqual(await published(daemon, 'mux'), ['0.0.0.0 8083/udp', ':: 8083/udp']);
      for (const address of ['127.0.0.1', '::1']) {
        await until(`a datagram from ${address}`, async () => {
          const script = `echo ping | nc -u -w 1 ${address} 8083`;
          return (await lab.host.run('sh', '-c', script)) === 'ping\n';
        });
      }
    });

    it("a conflict is reported in the host's words, and leaves nothing behind", async () => {
      const said = await docker.refusedContainer('web', [`${HTTP_PORT}:80`]);
      assert.match(
        said,
        /Error starting userland proxy: cannot publish 0\.0\.0\.0:8000\/tcp: something on the host listens there already/,
      );
      assert.deepEqual(await published(daemon), []);
    });

    it('kill -9 of a proxy frees its port of the host, and no other', async () => {
      await docker.container('web', ['8085:80', '8086:80'], HTTPD);
      await answers('http://127.0.0.1:8085/');
      const pids = docker.proxies(8085);
      assert.equal(pids.length, 2);
      for (const pid of pids) process.kill(pid, 'SIGKILL');
      await until('the port to be free', async () => (await published(daemon)).length === 2);
      assert.match(await curl('host', 'http://127.0.0.1:8086/'), /hello/);
      assert.equal((await lab.host.try('curl', '-sS', 'http://127.0.0.1:8085/')).status, 7);
    });

    it('the agent is killed: the guest API serves meanwhile, and the next agent after it', async () => {
      await docker.container('web', ['8087:80'], HTTPD);
      await answers('http://127.0.0.1:8087/');
      await agent.stop('SIGKILL');
      await until('the other way', async () => (await published(daemon, 'net')).length === 2);
      assert.match(await answers('http://127.0.0.1:8087/'), /hello/);
      await startAgent();
      await docker.removeContainers();
      await docker.container('web', ['8087:80'], HTTPD);
      assert.match(await answers('http://127.0.0.1:8087/'), /hello/);
      assert.equal((await published(daemon, 'mux')).length, 2);
    });

    for (const [name, via, control] of [
      ['the agent', 'mux', () => `agent:${docker.dir}/hawser/agent.sock`],
      ['the guest API', 'net', () => `http://${GATEWAY}/`],
      ['the control socket', 'net', () => `unix:${lab.path('hawser/default/api.sock')}`],
    ] as const) {
      it(`HAWSER_CONTROL names ${name}`, async () => {
        const env = { HAWSER_CONTROL: control() };
        await docker.stop();
        await docker.close();
        // In the same place: the agent's socket is there.
        docker = new Docker(lab, guest, { env });
        await docker.start();
        const id = await docker.container('web', ['8090:80', '127.0.0.1:8091:80'], HTTPD);
        for (const port of [8090, 8091]) {
          const hello = await answers(`http://127.0.0.1:${port}/`);
          assert.equal(hello, `hello from ${id.slice(0, 12)}\n`);
        }
        assert.equal((await published(daemon, via)).length, 3);
      });
    }
  },
);
