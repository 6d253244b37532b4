import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { z } from 'zod';
import { SeededStream, seededSha256 } from '../../src/lab/seeded-stream.ts';
import { LAB, systemSuite } from '../support/requirements.ts';
import { client, download, upload } from './support/clients.ts';
import type { Daemon } from './support/daemon.ts';
import { type Guest, HOST, HOST_OUTER, HTTP_PORT, Lab, NOWHERE, OUTSIDE } from './support/lab.ts';
import { until } from './support/until.ts';

const MIB = 1 << 20;
const IPERF_PORT = 5201;
/** Published; a server on the host cannot have them too. */
const PUBLISHED_IPERF = 5211;
const PUBLISHED_SINK = 5212;
const NC_PORT = 5213;
const DELAYED_ACK_MS = 8; // 10, and the grain of timers
const Iperf = z.object({
  error: z.string().optional(),
  end: z.object({ sum_received: z.object({ bytes: z.number() }).optional() }),
});

systemSuite('TCP', [...LAB, 'curl', 'iperf3', 'nc'], function () {
  this.timeout(60_000);
  let lab: Lab;
  let guest: Guest;
  let daemon: Daemon;

  before(async () => {
    lab = await Lab.open();
    const published = [`${PUBLISHED_IPERF}:${IPERF_PORT}`, `${PUBLISHED_SINK}:${HTTP_PORT + 1}`];
    ({ guest, daemon } = await lab.standard(published.flatMap((port) => ['-p', port])));
    await lab.startServers(lab.outside);
  });
  after(() => lab.close());
  afterEach(() => assert.ok(daemon.isRunning, daemon.stderr));

  for (const [what, address] of [
    ["the host's loopback", HOST],
    ["the host's outer address", HOST_OUTER],
    ['a server outside', OUTSIDE],
  ] as const) {
    it(`curl reaches ${what}`, async () => {
      const text = await guest.run('curl', '-sS', '-m', '5', `http://${address}:${HTTP_PORT}/`);
      assert.equal(text, 'hello from the host\n');
    });
  }

  it('curl learns at once that a port is closed (RST)', async () => {
    const { status } = await guest.try('curl', '-sS', '-m', '5', `http://${HOST}:1/`);
    assert.equal(status, 7);
  });

  it('curl learns at once that a host is unreachable (ICMP)', async () => {
    const { status, stderr } = await guest.try('curl', '-sS', '-m', '5', `http://${NOWHERE}/`);
    assert.equal(status, 7, stderr);
  });

  it("a server's reset is a reset for the guest", async () => {
    const { status } = await guest.try(
      'curl',
      '-sS',
      '-m',
      '5',
      `http://${HOST}:${HTTP_PORT + 4}/`,
    );
    assert.ok(status === 7 || status === 56, String(status)); // it may meet the reset while it connects
  });

  it('64 MiB each way, sums equal', async () => {
    const server = `http://${HOST}:${HTTP_PORT}`;
    await download(guest, server, 64 * MIB);
    await upload(guest, server, 64 * MIB);
  });

  /** TcpExtTCPLossProbes of the guest's kernel. */
  const lossProbes = async (): Promise<number> => {
    const [names = '', values = ''] = (await guest.run('cat', '/proc/self/net/netstat'))
      .split('\n')
      .filter((line) => line.startsWith('TcpExt:'));
    return Number(values.split(' ')[names.split(' ').indexOf('TCPLossProbes')]);
  };

  const iperf = async (server: 'host' | 'guest', ...args: string[]): Promise<number> => {
    const [serverSide, clientSide, target, port] =
      server === 'host'
        ? [lab.host, guest, HOST, IPERF_PORT]
        : [guest, lab.host, '127.0.0.1', PUBLISHED_IPERF];
    const running = serverSide.start(['iperf3', '-s', '-1', '-p', `${IPERF_PORT}`]);
    await until('iperf3 to listen', async () => {
      const listening = await serverSide.run('ss', '-Hltn', `sport = :${IPERF_PORT}`);
      return listening.includes('LISTEN');
    });
    const { stdout } = await clientSide.try(
      ...['iperf3', '-J', '-t', '2', '-c', target, '-p', `${port}`],
      ...args,
    );
    await running.stop();
    const { error, end } = Iperf.parse(JSON.parse(stdout));
    assert.equal(error, undefined);
    return end.sum_received?.bytes ?? 0;
  };
  it('iperf3 guest to host', async () => assert.ok((await iperf('host')) > 10 * MIB));
  it('iperf3 guest to host, 8 streams', async () => {
    assert.ok((await iperf('host', '-P', '8')) > 10 * MIB);
  });

  it('nc: the guest half-closes and still gets the answer', async () => {
    const file = lab.path('half-close');
    const stream = new SeededStream(5, MIB);
    writeFileSync(file, stream.next() ?? '');
    const argv = ['sh', '-c', `nc -N ${HOST} ${HTTP_PORT + 1} <${file}`];
    assert.equal(await guest.run(...argv), `bytes=${MIB} sha256=${seededSha256(5, MIB)}\n`);
  });

  it("nc: the guest sends on after the server's FIN", async () => {
    // `nc -l -N </dev/null` sends FIN at once and receives until the guest's.
    const received = lab.path('received');
    const server = lab.host.start([
      'sh',
      '-c',
      `nc -l -N 127.0.0.1 ${NC_PORT} </dev/null >${received}; sha256sum ${received}`,
    ]);
    await until('nc to listen', async () =>
      (await lab.host.run('ss', '-Hltn', `sport = :${NC_PORT}`)).includes('LISTEN'),
    );
    const file = lab.path('half-close');
    await guest.run('sh', '-c', `{ sleep 0.3; cat ${file}; } | nc -N ${HOST} ${NC_PORT}`);
    assert.equal(await server.exited, 0);
    assert.equal(server.stdout.slice(0, 64), seededSha256(5, MIB));
  });

  it("requests answered after 30 ms: the guest's kernel has their ACKs at once, and hardly probes for them", async () => {
    const count = 200;
    const before = await lossProbes();
    const port = String(HTTP_PORT + 6);
    const running = client(guest, 'requests', HOST, port, String(count));
    await until('a round trip shorter than a delayed ACK', async () => {
      const sockets = await guest.run('ss', '-Htin', `dport = :${port}`);
      const [, rttMs] = /\brtt:([\d.]+)/.exec(sockets) ?? [];
      return rttMs !== undefined && Number(rttMs) < DELAYED_ACK_MS;
    });
    assert.deepEqual(await running, { answered: count });
    const probes = (await lossProbes()) - before;
    // Some on a machine whose CPUs are busy.
    assert.ok(probes <= count / 20, `${probes} probes in ${count} requests`);
  });

  it('1,000 downloads at once, every sum equal', async () => {
    const url = `http://${HOST}:${HTTP_PORT}`;
    const result = await client(guest, 'many', url, '1000', '65536');
    assert.deepEqual(result, { good: 1000, bad: 0, errors: {} });
  });

  describe('published ports', () => {
    it('iperf3 host to guest', async () => assert.ok((await iperf('guest')) > 10 * MIB));
    it('iperf3 guest to host through the same (-R)', async () => {
      assert.ok((await iperf('guest', '-R')) > 10 * MIB);
    });
    it('nc: the host half-closes and still gets the answer', async () => {
      const file = lab.path('half-close');
      await lab.startServers(guest);
      const sum = await lab.host.run('sh', '-c', `nc -N 127.0.0.1 ${PUBLISHED_SINK} <${file}`);
      assert.equal(sum, `bytes=${MIB} sha256=${seededSha256(5, MIB)}\n`);
    });
  });
});
