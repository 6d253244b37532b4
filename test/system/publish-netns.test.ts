/** `hawser agent --publish-listening NETNS@...`: servers in other network namespaces of the guest. */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { type Guest, Lab, type Namespace } from './support/lab.ts';
import { type Background, command, succeed } from './support/processes.ts';
import { published as publishedBy } from './support/published.ts';
import { until } from './support/until.ts';

const MUX_PORT = 4099;
const AGENT = fileURLToPath(new URL('../../hawser-agent.mjs', import.meta.url));
/** HTTP that says its name: `PORT ADDRESS NAME`. */
const SERVER = `require('http').createServer((q, r) => r.end(process.argv[3] + '\\n')).listen(+process.argv[1], process.argv[2], () => console.log('listening'))`;
/** Other tests keep the machine busy. */
const PATIENCE_MS = 50_000;

systemSuite('agent --publish-listening, other namespaces', [...LAB, 'curl'], function () {
  this.timeout(120_000);
  let lab: Lab;
  let guest: Guest;
  let container: Namespace;
  let daemon: Daemon;
  let agent: Background;
  const started: Background[] = [];

  before(async () => {
    lab = await Lab.open();
    const api = ['--guest-api', 'on', '--mux', `guest:${MUX_PORT}`];
    ({ guest, daemon } = await lab.standard(api));
    container = await lab.addGuest();
    await succeed(['ip', '-n', container.name, 'address', 'add', '10.88.0.2/16', 'dev', 'lo']);
  });
  after(() => lab.close());
  afterEach(async () => {
    for (const one of started.splice(0)) await one.stop();
    assert.ok(daemon.isRunning, daemon.stderr);
    assert.ok(agent.isRunning, agent.stderr);
    await agent.stop();
    await becomes([]);
  });

  const agentArgv = (...args: readonly string[]): string[] => [
    ...[process.execPath, AGENT, '--listen', `tcp:0.0.0.0:${MUX_PORT}`],
    ...args,
  ];
  const startAgent = async (argv: readonly string[]): Promise<void> => {
    agent = guest.start(argv);
    await agent.prints(/multiplexer up/);
  };
  const becomes = async (expected: readonly string[]): Promise<void> => {
    const isThere = async (): Promise<boolean> =>
      (await publishedBy(daemon, 'mux')).join() === expected.join();
    await until(`ports ${expected.join(', ')}`, isThere, PATIENCE_MS);
  };
  const serve = async (
    where: Namespace,
    port: number,
    address: string,
    name: string,
  ): Promise<Background> => {
    const server = where.start([process.execPath, '-e', SERVER, `${port}`, address, name]);
    started.push(server);
    await server.prints(/listening/);
    return server;
  };
  const get = (host: string, port: number): Promise<string> =>
    lab.host.run('curl', '-sS', '-m', '5', `http://${host}:${port}/`);

  it('without a rule for them they do not appear', async () => {
    await startAgent(agentArgv('--publish-listening'));
    await serve(container, 8201, '127.0.0.1', 'inside');
    await serve(guest, 8202, '127.0.0.1', 'guest');
    await becomes(['127.0.0.1 8202/tcp']);
  });

  it('by its name: each way that a server is bound, reached from inside', async () => {
    await startAgent(agentArgv('--publish-listening', `*,${container.name}@*`));
    await serve(container, 8203, '127.0.0.1', 'loopback');
    await serve(container, 8204, '::', 'dual');
    await serve(container, 8205, '::1', 'six');
    await serve(container, 8206, '10.88.0.2', 'own address');
    await serve(container, 8207, '127.0.0.53', 'another loopback');
    await becomes([
      '127.0.0.1 8203/tcp',
      '127.0.0.1 8204/tcp',
      '127.0.0.1 8206/tcp',
      '127.0.0.53 8207/tcp',
      '::1 8204/tcp',
      '::1 8205/tcp',
    ]);
    assert.equal(await get('127.0.0.1', 8203), 'loopback\n');
    assert.equal(await get('127.0.0.1', 8204), 'dual\n');
    assert.equal(await get('[::1]', 8204), 'dual\n');
    assert.equal(await get('[::1]', 8205), 'six\n');
    assert.equal(await get('127.0.0.1', 8206), 'own address\n');
    assert.equal(await get('127.0.0.53', 8207), 'another loopback\n');
  });

  it("the same port of both: the agent's namespace has it, the other one by a rule", async () => {
    const rules = `*,${container.name}@8208=9208,${container.name}@*`;
    await startAgent(agentArgv('--publish-listening', rules));
    await serve(container, 8208, '127.0.0.1', 'inside');
    await serve(guest, 8208, '127.0.0.1', 'guest');
    await serve(container, 8209, '127.0.0.1', 'inside');
    const both = await serve(guest, 8209, '127.0.0.1', 'guest');
    await becomes(['127.0.0.1 8208/tcp', '127.0.0.1 8209/tcp', '127.0.0.1 9208/tcp']);
    assert.equal(await get('127.0.0.1', 8208), 'guest\n');
    assert.equal(await get('127.0.0.1', 9208), 'inside\n');
    await until('the guest', async () => (await get('127.0.0.1', 8209)) === 'guest\n');
    await both.stop();
    await until('the other', async () => (await get('127.0.0.1', 8209)) === 'inside\n');
  });

  it('what --allow leaves out is not dialled there either', async () => {
    const allow = ['--allow', 'tcp:127.0.0.1:8210'];
    const rules = ['--publish-listening', `${container.name}@*`];
    await startAgent(agentArgv(...allow, ...rules));
    await serve(container, 8210, '127.0.0.1', 'inside');
    await serve(container, 8211, '127.0.0.1', 'inside');
    await becomes(['127.0.0.1 8210/tcp', '127.0.0.1 8211/tcp']);
    assert.equal(await get('127.0.0.1', 8210), 'inside\n');
    const { status } = await lab.host.try('curl', '-sS', '-m', '5', 'http://127.0.0.1:8211/');
    assert.notEqual(status, 0);
  });

  it('one that comes and ends: its ports go, and it is not held open', async () => {
    const name = `${container.name}x`;
    await startAgent(agentArgv('--publish-listening', `${name}@*`));
    await succeed(['ip', 'netns', 'add', name]);
    try {
      await succeed(['ip', '-n', name, 'link', 'set', 'lo', 'up']);
      // Its end goes with the namespace.
      const pair = ['add', 'pin0', 'type', 'veth', 'peer', 'name', 'pin1', 'netns', name];
      await lab.host.run('ip', 'link', ...pair);
      const enter = ['nsenter', `--net=/run/netns/${name}`, '--'];
      const argv = [...enter, process.execPath, '-e', SERVER, '8212', '127.0.0.1', 'new'];
      const server = lab.host.start(argv);
      started.push(server);
      await becomes(['127.0.0.1 8212/tcp']);
      assert.equal(await get('127.0.0.1', 8212), 'new\n');
      await server.stop();
      await becomes([]);
    } finally {
      await command(['ip', 'netns', 'del', name]);
    }
    const hasEnded = async (): Promise<boolean> =>
      (await lab.host.try('ip', 'link', 'show', 'pin0')).status !== 0;
    await until('the namespace to end', hasEnded, PATIENCE_MS);
  });

  it('all others: of processes, without a name', async () => {
    const args = ['--publish-listening', '*,*@*'];
    const inner = `ip link set lo up && exec "$0" -e "$SERVER" 8213 127.0.0.1 unnamed`;
    const script = `mount -t tmpfs none /run/netns && { unshare --net sh -c '${inner}' "$0" & }; exec "$0" "$@"`;
    const own = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'];
    const env = ['env', `SERVER=${SERVER}`];
    await startAgent([...env, ...own, 'sh', '-c', script, ...agentArgv(...args)]);
    await becomes(['127.0.0.1 8213/tcp']);
    assert.equal(await get('127.0.0.1', 8213), 'unnamed\n');
  });
});
