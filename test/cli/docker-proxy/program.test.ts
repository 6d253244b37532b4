/** The program as dockerd starts it: descriptors 3 and 4, signals, exit statuses. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FakeControl, refusedWith } from './fake-control.ts';

const MAIN = fileURLToPath(new URL('../../../src/cli/docker-proxy/main.js', import.meta.url));
const SHELL = resolve('src/cli/docker-proxy/hawser-docker-proxy.sh');
const STATUS_FD = 3;
const PORT = 18_081;
const IN_USE = 'cannot publish 0.0.0.0:1/tcp:\nsomething on the host listens there already.';

class Program {
  readonly child: ChildProcess;
  stdout = '';
  /** What dockerd reads, to the end of the pipe. */
  readonly status: Promise<string>;

  constructor(argv: readonly string[], env: Readonly<Record<string, string>>, fd4?: number) {
    const [file = '', ...args] = argv;
    const stdio = ['ignore', 'pipe', 'ignore', 'pipe', fd4 ?? 'ignore'] as const;
    this.child = spawn(file, args, { stdio: [...stdio], env: { ...process.env, ...env } });
    this.child.stdout?.on('data', (chunk) => {
      this.stdout += chunk;
    });
    this.status = new Promise((resolve) => {
      let text = '';
      this.child.stdio[STATUS_FD]?.on('data', (chunk) => {
        text += chunk;
      });
      this.child.stdio[STATUS_FD]?.once('close', () => resolve(text));
    });
  }

  async exit(): Promise<number | string | null> {
    const { child } = this;
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    return child.exitCode ?? child.signalCode;
  }
}

/** A listening socket to be handed to a child. */
function fdOf(server: Server): number {
  const fd: unknown = Reflect.get(Object(Reflect.get(server, '_handle')), 'fd');
  assert.ok(typeof fd === 'number');
  return fd;
}

/** How the process calls itself, and where its environment says that sockets are. */
function isBrokerIn(pid: number, dir: string): boolean {
  try {
    const called = readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
    const variables = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
    return called === 'hawser-broker' && variables.includes(`HAWSER_CONTROL=${dir}/api.sock`);
  } catch {
    return false; // it has ended
  }
}

describe('docker-proxy: the program', function () {
  this.timeout(30_000);
  let control: FakeControl;
  const programs: Program[] = [];

  beforeEach(async () => {
    control = new FakeControl();
    await control.start();
  });
  afterEach(async () => {
    for (const { child } of programs) child.kill('SIGKILL');
    await Promise.all(programs.splice(0).map((program) => program.exit()));
    for (const pid of brokers()) process.kill(pid, 'SIGTERM');
    await control.close();
  });

  const words = (line = '', hostPort = PORT): string[] => [
    ...['-proto', 'tcp', '-host-ip', '0.0.0.0', '-host-port', `${hostPort}`],
    ...['-container-ip', '127.0.0.1', '-container-port', '80'],
    ...line.split(' ').filter((word) => word !== ''),
  ];
  const environment = (): Record<string, string> => ({
    HAWSER_CONTROL: control.path,
    HAWSER_LOCAL: 'never',
    HAWSER_DOCKER_PROXY_MAIN: MAIN,
    XDG_RUNTIME_DIR: control.dir,
  });
  const start = (argv: readonly string[], fd4?: number): Program => {
    const program = new Program(argv, environment(), fd4);
    programs.push(program);
    return program;
  };
  const brokers = (): number[] => {
    const found = readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
    return found.filter((pid) => isBrokerIn(pid, control.dir));
  };
  const eventually = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
  };

  for (const [name, argv] of [
    ['node', [process.execPath, MAIN]],
    ['the shell and its broker', [SHELL]],
  ] as const) {
    describe(name, () => {
      it('says 0 when the port is served; SIGINT frees it', async () => {
        const program = start([...argv, ...words()]);
        assert.equal(await program.status, '0\n');
        assert.equal(control.held.size, 1);
        program.child.kill('SIGINT');
        assert.equal(await program.exit(), 0);
        await eventually(() => control.held.size === 0);
      });

      it('SIGKILL frees it too', async () => {
        const program = start([...argv, ...words()]);
        assert.equal(await program.status, '0\n');
        program.child.kill('SIGKILL');
        await eventually(() => control.held.size === 0);
      });

      it("says 1 and the host's words when it refuses", async () => {
        control.answer = () => refusedWith('EADDRINUSE', IN_USE);
        const program = start([...argv, ...words()]);
        assert.equal(await program.status, `1\n${IN_USE}`);
        assert.equal(await program.exit(), 1);
      });

      it('SCTP is refused in words', async () => {
        const program = start([...argv, ...words('-proto sctp')]);
        assert.match(await program.status, /^1\nSCTP/);
        assert.notEqual(await program.exit(), 0);
      });

      for (const flag of ['-v', '--version']) {
        it(`${flag}`, async () => {
          const program = start([...argv, flag]);
          assert.equal(await program.exit(), 0);
          await eventually(() => program.stdout !== '');
          assert.match(program.stdout, /^hawser-docker-proxy \d/);
        });
      }

      it('serves the socket that dockerd listens on, with -use-listen-fd', async () => {
        const container = createServer((socket) => socket.end('hello')).listen(0, '127.0.0.1');
        const listener = createServer().listen(0, '127.0.0.1');
        await Promise.all([once(container, 'listening'), once(listener, 'listening')]);
        const at = listener.address();
        const target = container.address();
        assert.ok(typeof at === 'object' && at !== null && typeof target === 'object');
        const line = `-use-listen-fd -local always -container-port ${target?.port}`;
        const program = start([...argv, ...words(line)], fdOf(listener));
        listener.close(); // the program has its own
        assert.equal(await program.status, '0\n');
        const client = connect(at.port, '127.0.0.1');
        const [text] = await once(client, 'data');
        client.destroy();
        container.close();
        assert.equal(String(text), 'hello');
      });
    });
  }

  it('node: ends when its parent does', async () => {
    // A parent that asks for no signal at its death, unlike dockerd.
    const quoted = [process.execPath, MAIN, ...words()].map((word) => `'${word}'`).join(' ');
    const parent = start(['sh', '-c', `${quoted} & wait`]);
    await eventually(() => control.held.size === 1);
    parent.child.kill('SIGKILL');
    await eventually(() => control.held.size === 0);
  });

  it('ten at once have one broker; another takes over when it is killed', async () => {
    const ten = Array.from({ length: 10 }, (_, i) => start([SHELL, ...words('', PORT + i)]));
    for (const program of ten) assert.equal(await program.status, '0\n');
    const [broker, ...more] = brokers();
    assert.ok(broker !== undefined);
    assert.deepEqual(more, []);
    process.kill(broker, 'SIGKILL');
    await eventually(() => control.asked.length === 20 && control.held.size === 10);
    for (const { child } of ten) child.kill('SIGTERM');
    for (const program of ten) assert.equal(await program.exit(), 0);
    await eventually(() => control.held.size === 0);
  });

  it('the broker ends with dockerd, and takes its directory along', async () => {
    const quoted = [SHELL, ...words()].map((word) => `'${word}'`).join(' ');
    const dockerd = start(['sh', '-c', `${quoted} & wait`]);
    await eventually(() => control.held.size === 1);
    assert.equal(brokers().length, 1);
    dockerd.child.kill('SIGKILL');
    await eventually(() => control.held.size === 0 && brokers().length === 0);
    assert.deepEqual(readdirSync(join(control.dir, 'hawser')), []);
  });
});
