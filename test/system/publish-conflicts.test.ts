/** Ports that publish themselves, of two guests, and of one that wants what it may not have: shown by `hawser ports`. */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { type Guest, Lab, type Namespace } from './support/lab.ts';
import type { Background } from './support/processes.ts';
import { published as publishedBy } from './support/published.ts';
import { until } from './support/until.ts';

const AGENT = fileURLToPath(new URL('../../hawser-agent.mjs', import.meta.url));
const MAIN = fileURLToPath(new URL('../../bin/hawser.js', import.meta.url));
const LINK_PORT = 7070;
/** HTTP that says its name: `PORT ADDRESS NAME`. */
const SERVER = `require('http').createServer((q, r) => r.end(process.argv[3] + '\\n')).listen(+process.argv[1], process.argv[2], () => console.log('listening'))`;
const UDP = `const s = require('dgram').createSocket('udp4'); s.bind(+process.argv[1], '127.0.0.1', () => console.log('listening', s.address().port))`;
const MANY = `
import socket, sys, time
all = []
for i in range(int(sys.argv[2])):
  s = socket.socket(); s.bind(('127.0.0.1', int(sys.argv[1]) + i)); s.listen(1); all.append(s)
print('listening', flush=True); time.sleep(600)
`;
/** An agent's. */
const PLACES_MAX = 2_000;
/** Other tests keep the machine busy. */
const PATIENCE_MS = 50_000;

systemSuite('agent --publish-listening, conflicts', [...LAB, 'curl', 'python3'], function () {
  this.timeout(120_000);
  let lab: Lab;
  let daemon: Daemon;
  const guests: Guest[] = [];
  const agents: Background[] = [];
  const started: Background[] = [];

  before(async () => {
    lab = await Lab.open();
    const links = ['one.sock', 'two.sock'].map((name) => `unix:${lab.path(name)}`);
    const bind = ['--guest-api-bind', '127.0.0.1:1024-65535', '--guest-api-bind', '0.0.0.0:9000'];
    const api = ['--guest-api', 'on', ...bind];
    const mux = links.flatMap((link) => ['--mux', link]);
    daemon = await lab.startDaemon(['--listen', `qemu:127.0.0.1:${LINK_PORT}`, ...api, ...mux]);
    for (const link of links) {
      const guest = await lab.addGuest();
      guests.push(guest);
      const rules = 'no:7999,0.0.0.0:9000=0.0.0.0,udp:*,*';
      const argv = ['--connect', link, '--publish-listening', rules];
      const agent = guest.start([process.execPath, AGENT, ...argv]);
      agents.push(agent);
      await agent.prints(/multiplexer up/);
    }
  });
  after(() => lab.close());
  afterEach(async () => {
    for (const one of started.splice(0)) await one.stop();
    for (const agent of agents) assert.ok(agent.isRunning, agent.stderr);
    assert.ok(daemon.isRunning, daemon.stderr);
    await becomes([]);
  });

  const becomes = async (expected: readonly string[]): Promise<void> => {
    const isThere = async (): Promise<boolean> =>
      (await publishedBy(daemon, 'mux')).join() === expected.join();
    await until(`ports ${expected.join(', ')}`, isThere, PATIENCE_MS);
  };
  const guest = (i: number): Namespace => guests[i] ?? lab.host;
  const serve = async (where: Namespace, argv: readonly string[]): Promise<Background> => {
    const server = where.start(argv);
    started.push(server);
    await server.prints(/listening/);
    return server;
  };
  const node = (where: Namespace, port: number, name: string, address = '127.0.0.1') =>
    serve(where, [process.execPath, '-e', SERVER, `${port}`, address, name]);
  const get = (port: number): Promise<string> =>
    lab.host.run('curl', '-sS', '-m', '5', `http://127.0.0.1:${port}/`);
  const shown = (): Promise<string> =>
    lab.host.run('env', `XDG_RUNTIME_DIR=${lab.dir}`, process.execPath, MAIN, 'ports');
  const shows = async (pattern: RegExp): Promise<void> => {
    await until(`${pattern}`, async () => pattern.test(await shown()), PATIENCE_MS);
  };

  it('two guests want one port: the second waits, is named, and has it when the first has gone', async () => {
    const first = await node(guest(0), 8301, 'first');
    await becomes(['127.0.0.1 8301/tcp']);
    await node(guest(1), 8301, 'second');
    await shows(
      /^127\.0\.0\.1:8301\/tcp .*agent unix:\S+two\.sock .*hawser itself publishes 127\.0\.0\.1:8301\/tcp already/m,
    );
    assert.equal(await get(8301), 'first\n');
    await first.stop();
    await shows(/8301\/tcp .*another publisher had that port a moment ago/);
    await becomes(['127.0.0.1 8301/tcp']);
    assert.equal(await get(8301), 'second\n');
  });

  it("a port that hawser's own listener has is not a guest's", async () => {
    await node(guest(0), LINK_PORT, 'guest');
    await shows(new RegExp(`${LINK_PORT}/tcp .*hawser itself listens on that port`));
  });

  it('more than an agent may publish: the rest is counted, and comes when there is room', async () => {
    const many = await serve(guest(0), ['python3', '-c', MANY, '20000', `${PLACES_MAX}`]);
    await shows(/20000\/tcp/);
    const more = await serve(guest(0), ['python3', '-c', MANY, '8400', '7']);
    await shows(/wants 7 more ports than may be published/);
    await many.stop();
    await becomes(Array.from({ length: 7 }, (_, i) => `127.0.0.1 ${8400 + i}/tcp`));
    assert.doesNotMatch(await shown(), /more ports than may be/);
    await more.stop();
  });

  it('every address of the host by a rule alone, and for those that chose every address', async () => {
    await node(guest(0), 9000, 'chosen', '0.0.0.0');
    await becomes(['0.0.0.0 9000/tcp']);
    assert.equal(
      await lab.host.run('curl', '-sS', '-m', '5', 'http://198.18.0.10:9000/'),
      'chosen\n',
    );
    await node(guest(0), 9001, 'not chosen', '0.0.0.0');
    await becomes(['0.0.0.0 9000/tcp', '127.0.0.1 9001/tcp']);
  });

  it('one that chose the loopback is not on every address', async () => {
    await node(guest(0), 9000, 'loopback');
    await becomes(['127.0.0.1 9000/tcp']);
  });

  it('UDP on wish, and none of those that the kernel gave to a client', async () => {
    await serve(guest(0), [process.execPath, '-e', UDP, '0']);
    await serve(guest(0), [process.execPath, '-e', UDP, '8305']);
    await becomes(['127.0.0.1 8305/udp']);
  });
});
