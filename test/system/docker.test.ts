/** Ports of containers of a real dockerd, published on the host through hawser's guest API. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { Docker, ECHO, fileServer, HTTPD } from './support/docker.ts';
import { type Guest, HOST, HOST_OUTER, HTTP_PORT, Lab, OUTSIDE } from './support/lab.ts';
import { published as publishedBy } from './support/published.ts';
import { until } from './support/until.ts';

const MANY = 60;
const MANY_TIMEOUT_MS = 120_000;
const FILE_MIB = 32;
/** More of them for a showing. */
const RUNS = Number(process.env['HAWSER_TEST_DOCKER_RUNS'] ?? 60);
const RUNS_TIMEOUT_MS = 600_000;
const TEST_CONTAINERS = 8;

const SLEEPER = ['hawser-test', 'sh', '-c', 'exec sleep 1000'];

systemSuite('dockerd', [...LAB, 'docker', 'iptables', 'gcc', 'curl', 'nc'], function () {
  this.timeout(180_000);
  let lab: Lab;
  let guest: Guest;
  let daemon: Daemon;
  let docker: Docker;
  let daemonArgs: string[];

  before(async () => {
    lab = await Lab.open();
    const api = ['--guest-api', 'on', '--guest-api-bind', '*:1-65535'];
    ({ guest, daemon } = await lab.standard(api));
    daemonArgs = ['--listen', guest.link, ...api];
    docker = new Docker(lab, guest);
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
    await until('every port to be free', async () => (await published()).length === 0);
  });

  const curl = (from: 'host' | 'outside' | 'guest', url: string): Promise<string> => {
    const where = from === 'guest' ? guest : lab[from];
    return where.run('curl', '-sS', '-m', '5', url);
  };
  const published = (): Promise<string[]> => publishedBy(daemon);
  /** Until the container's server listens. */
  const answers = async (url: string): Promise<string> =>
    await until(`${url} to answer`, async () => await curl('host', url));
  const logOf = async (name: string): Promise<string> => (await docker.try('logs', name)).stderr;

  it('docker run -p 8080:80 answers on the host, and the container sees the clients', async () => {
    const id = await docker.container('web', ['8080:80'], HTTPD);
    const hello = `hello from ${id.slice(0, 12)}\n`;
    assert.equal(await answers('http://127.0.0.1:8080/'), hello);
    assert.equal(await curl('host', `http://${HOST_OUTER}:8080/`), hello);
    assert.equal(await curl('outside', `http://${HOST_OUTER}:8080/`), hello);
    assert.equal(await curl('host', 'http://[::1]:8080/'), hello);
    assert.equal(await curl('guest', 'http://127.0.0.1:8080/'), hello);
    assert.deepEqual(await published(), ['0.0.0.0 8080/tcp', ':: 8080/tcp']);
    const log = await logOf('web');
    for (const client of [HOST, HOST_OUTER, OUTSIDE]) {
      assert.ok(log.includes(`:${client}]:`), `${client} is not in:\n${log}`);
    }
  });

  it(`${FILE_MIB} MiB arrive as they were`, async () => {
    await docker.container('file', ['8081:80', '127.0.0.1:8082:80'], fileServer(FILE_MIB));
    await answers('http://127.0.0.1:8081/');
    const sum = (await docker.run('logs', 'file')).split(' ')[0];
    // By the DNAT rule, and by the landing.
    for (const port of [8081, 8082]) {
      const script = `curl -sS -m 30 http://127.0.0.1:${port}/file | sha256sum`;
      assert.equal((await lab.host.run('sh', '-c', script)).split(' ')[0], sum, `${port}`);
    }
  });

  it('-p 127.0.0.1:8083:80 answers on the loopback of the host only', async () => {
    await docker.container('lo', ['127.0.0.1:8083:80'], HTTPD);
    assert.match(await answers('http://127.0.0.1:8083/'), /hello/);
    assert.match(await curl('guest', 'http://127.0.0.1:8083/'), /hello/);
    const { status } = await lab.outside.try('curl', '-sS', `http://${HOST_OUTER}:8083/`);
    assert.equal(status, 7);
    assert.deepEqual(await published(), ['127.0.0.1 8083/tcp']);
  });

  for (const [what, ports] of [
    ['a port of its own choice on the loopback', ['127.0.0.1::80/udp']],
    ['a port everywhere', ['8084:80/udp']],
  ] as const) {
    it(`UDP: ${what}`, async () => {
      await docker.container('echo', ports, ECHO);
      const port = /:(\d+)/.exec(await docker.run('port', 'echo', '80/udp'))?.[1];
      await until('the datagram to come back', async () => {
        const script = `echo ping | nc -u -w 1 127.0.0.1 ${port}`;
        return (await lab.host.run('sh', '-c', script)) === 'ping\n';
      });
    });
  }

  it('ranges, and several containers beside each other', async () => {
    const one = await docker.container('one', ['9000-9003:80-83'], HTTPD);
    const two = await docker.container('two', ['9004:80', '9005:80'], HTTPD);
    assert.match(await answers('http://127.0.0.1:9000/'), new RegExp(one.slice(0, 12)));
    assert.match(await answers('http://127.0.0.1:9004/'), new RegExp(two.slice(0, 12)));
    assert.match(await answers('http://127.0.0.1:9005/'), new RegExp(two.slice(0, 12)));
    assert.equal((await published()).length, 12);
    // Published, and nothing in the container listens.
    const { status, stderr } = await lab.host.try('curl', '-sS', 'http://127.0.0.1:9001/');
    assert.ok([7, 52, 56].includes(status), stderr); // as it meets the reset
    await docker.run('rm', '-f', 'one');
    await until('four ports to be free', async () => (await published()).length === 4);
    assert.match(await curl('host', 'http://127.0.0.1:9004/'), new RegExp(two.slice(0, 12)));
  });

  it("a conflict is reported in the host's words, and the container can have another port", async () => {
    const said = await docker.refusedContainer('web', [`${HTTP_PORT}:80`]);
    assert.match(
      said,
      /Error starting userland proxy: cannot publish 0\.0\.0\.0:8000\/tcp: something on the host listens there already/,
    );
    await docker.run('rm', 'web');
    await docker.container('web', [`${HTTP_PORT + 100}:80`], HTTPD);
    assert.match(await answers(`http://127.0.0.1:${HTTP_PORT + 100}/`), /hello/);
  });

  it('a picked port that is taken on the host is followed by the next', async () => {
    await docker.container('first', ['80'], HTTPD);
    const portOf = async (name: string): Promise<number> =>
      Number(/:(\d+)/.exec(await docker.run('port', name, '80/tcp'))?.[1]);
    const taken = (await portOf('first')) + 1;
    const other = lab.host.start(['nc', '-lk', '0.0.0.0', `${taken}`]);
    await until('nc to listen', async () =>
      (await lab.host.run('ss', '-Hltn', `sport = :${taken}`)).includes('LISTEN'),
    );
    await docker.container('second', ['80'], HTTPD);
    const second = await portOf('second');
    await other.stop();
    assert.equal(second, taken + 1);
    assert.match(await answers(`http://127.0.0.1:${second}/`), /hello/);
  });

  it('kill -9 of a proxy frees its port of the host, and no other', async () => {
    await docker.container('web', ['8085:80', '8086:80'], HTTPD);
    await answers('http://127.0.0.1:8085/');
    const pids = docker.proxies(8085);
    assert.equal(pids.length, 2);
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    await until('the port to be free', async () => (await published()).length === 2);
    assert.match(await curl('host', 'http://127.0.0.1:8086/'), /hello/);
    assert.equal((await lab.host.try('curl', '-sS', 'http://127.0.0.1:8085/')).status, 7);
  });

  it('kill -9 of the broker: another takes its ports', async () => {
    await docker.container('web', ['8087:80'], HTTPD);
    await answers('http://127.0.0.1:8087/');
    const [broker] = docker.brokers();
    assert.ok(broker !== undefined);
    process.kill(broker, 'SIGKILL');
    await until('another broker', () => docker.brokers().some((pid) => pid !== broker));
    assert.match(await answers('http://127.0.0.1:8087/'), /hello/);
    await until('both ports', async () => (await published()).length === 2);
  });

  it('dockerd restarts, its containers with it', async () => {
    await docker.run(
      'run',
      '-d',
      '--restart',
      'always',
      '--stop-timeout',
      '1',
      '--name',
      'web',
      '-p',
      '8088:80',
      'hawser-test',
      'sh',
      '-c',
      HTTPD,
    );
    await answers('http://127.0.0.1:8088/');
    await docker.stop();
    assert.deepEqual(await published(), []);
    await docker.start();
    assert.match(await answers('http://127.0.0.1:8088/'), /hello/);
  });

  it('kill -9 of dockerd alone: its ports are freed, and the next one has them again', async () => {
    await docker.run(
      ...['run', '-d', '--restart', 'always', '--stop-timeout', '1', '--name', 'web'],
      ...['-p', '8090:80', '-p', '8090:80/udp', 'hawser-test', 'sh', '-c', HTTPD],
    );
    await answers('http://127.0.0.1:8090/');
    docker.kill();
    await until('the ports to be freed', async () => (await published()).length === 0, 15_000);
    await docker.close();
    // Their numbers are other processes' in the next namespace.
    for (const file of ['pid', 'exec/containerd/containerd.pid']) rmSync(join(docker.dir, file));
    await docker.start();
    await until('the ports', async () => (await published()).length === 4, 30_000);
    assert.match(await answers('http://127.0.0.1:8090/'), /hello/);
  });

  it('hawser restarts: the ports come back', async () => {
    await docker.container('web', ['8089:80'], HTTPD);
    await answers('http://127.0.0.1:8089/');
    await daemon.stop('SIGTERM');
    daemon = await lab.startDaemon(daemonArgs);
    await guest.lease();
    await until('both ports', async () => (await published()).length === 2, 30_000);
    assert.match(await answers('http://127.0.0.1:8089/'), /hello/);
  });

  it(`${MANY} ports of one container`, async () => {
    const range = `10000-${10_000 + MANY - 1}`;
    const before = performance.now();
    await docker.container('many', [`${range}:${range}`], 'exec httpd -f -p 10059 -h /www');
    const tookMs = performance.now() - before;
    assert.equal((await published()).length, 2 * MANY);
    assert.ok(tookMs < MANY_TIMEOUT_MS, `${tookMs} ms`);
    process.stderr.write(`      ${MANY} ports took ${(tookMs / 1000).toFixed(1)} s\n`);
  });

  it(`a port accepts when docker run returns: ${RUNS} of ${RUNS}`, async function () {
    this.timeout(RUNS_TIMEOUT_MS);
    const refused: number[] = [];
    for (let i = 0; i < RUNS; i++) {
      const port = 12_000 + i;
      await docker.run('run', '-d', '--rm', '--name', 'web', '-p', `${port}:80`, ...SLEEPER);
      const client = ['nc', '-zv', '-w', '1', '127.0.0.1', `${port}`];
      const { status, stderr } = await lab.host.try(...client);
      // Nothing listens in the container: its reset, after the host has accepted, may be what nc sees.
      if (status !== 0 && !stderr.includes('reset by peer')) refused.push(port);
      await docker.run('rm', '-f', 'web');
    }
    assert.deepEqual(refused, []);
  });

  it('as Testcontainers does: ports of its choice, several at once, asked for and dialled', async () => {
    const ids = await Promise.all(
      Array.from({ length: TEST_CONTAINERS }, (_, i) =>
        docker.container(`test${i}`, ['80', '80/udp'], HTTPD),
      ),
    );
    const bodies = ids.map(async (id) => {
      const port = /:(\d+)/.exec(await docker.run('port', id, '80/tcp'))?.[1];
      const hello = await answers(`http://127.0.0.1:${port}/`);
      await docker.run('rm', '-f', '-v', id);
      return hello;
    });
    const expected = ids.map((id) => `hello from ${id.slice(0, 12)}\n`);
    assert.deepEqual(await Promise.all(bodies), expected);
  });

  it('as docker compose does: up, a network more, restart, down, up again, UDP too', async () => {
    const up = async (): Promise<void> => {
      await docker.run('network', 'create', 'app_default');
      for (const [name, port, script] of [
        ['app_web_1', '8095:80', HTTPD],
        ['app_dns_1', '8096:80/udp', ECHO],
      ] as const) {
        await docker.run(
          ...['create', '--name', name, '--network', 'app_default', '--stop-timeout', '1'],
          ...['-p', port, 'hawser-test', 'sh', '-c', script],
        );
        await docker.run('start', name);
      }
    };
    const works = async (): Promise<void> => {
      assert.match(await answers('http://127.0.0.1:8095/'), /hello/);
      await until('the datagram to come back', async () => {
        const script = 'echo ping | nc -u -w 1 127.0.0.1 8096';
        return (await lab.host.run('sh', '-c', script)) === 'ping\n';
      });
    };
    await up();
    await works();
    await docker.run('network', 'create', 'app_more');
    await docker.run('network', 'connect', 'app_more', 'app_web_1');
    await works();
    await docker.run('restart', 'app_web_1', 'app_dns_1');
    await works();
    for (let round = 0; round < 2; round++) {
      await docker.run('rm', '-f', 'app_web_1', 'app_dns_1');
      await docker.run('network', 'rm', 'app_default');
      await up();
      await works();
    }
    await docker.run('rm', '-f', 'app_web_1', 'app_dns_1');
    await docker.run('network', 'rm', 'app_default', 'app_more');
  });

  it('dockerd --iptables=false, prepared: the proxies carry it all, from the first on by the broker that was there', async () => {
    await docker.close();
    docker = new Docker(lab, guest, { name: 'plain', args: ['--iptables=false'] });
    await docker.start();
    await docker.importImage();
    await guest.run('iptables', '-t', 'nat', '-F');
    await docker.prepare();
    const brokers = docker.brokers();
    assert.equal(brokers.length, 1);
    await docker.container('web', ['8090:80', '127.0.0.1:8091:80'], HTTPD);
    assert.deepEqual(docker.brokers(), brokers);
    assert.match(await answers('http://127.0.0.1:8090/'), /hello/);
    assert.match(await curl('outside', `http://${HOST_OUTER}:8090/`), /hello/);
    assert.match(await curl('host', 'http://127.0.0.1:8091/'), /hello/);
  });
});
