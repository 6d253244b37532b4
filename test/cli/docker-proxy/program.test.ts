/** The program as dockerd starts it: descriptors 3 and 4, signals, exit statuses. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { cpSync, readdirSync, readFileSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FakeControl, refusedWith } from './fake-control.ts';

const MAIN = fileURLToPath(new URL('../../../src/cli/docker-proxy/main.js', import.meta.url));
const BUNDLE = fileURLToPath(new URL('../../../bin/docker-proxy.js', import.meta.url));
const SHELL = resolve('src/cli/docker-proxy/hawser-docker-proxy.sh');
const STATUS_FD = 3;
const PORT = 18_081;
const IN_USE = 'cannot publish 0.0.0.0:1/tcp:\nsomething on the host listens there already.';

class Program {
  readonly child: ChildProcess;
  stdout = '';
  /** One for each read of dockerd's. */
  readonly said: string[] = [];
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
        this.said.push(String(chunk));
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

/** Of a socket to be handed to a child. */
function fdOf(socket: Server | Socket): number {
  const state = Object.getOwnPropertySymbols(socket).find(
    ({ description }) => description === 'state symbol',
  );
  const owner = state === undefined ? socket : Object(Reflect.get(socket, state));
  const handle = Object(Reflect.get(owner, state === undefined ? '_handle' : 'handle'));
  const fd: unknown = Reflect.get(handle, 'fd');
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

describe('docker-proxy: the program', () => {
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
        assert.deepEqual(program.said, ['0\n']); // dockerd reads once
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

  describe('-use-listen-fd by the broker', () => {
    let container: Server;
    let listener: Server;
    let port: number;
    const listening = async (at: number): Promise<Server> => {
      const server = createServer().listen(at, '127.0.0.1');
      await once(server, 'listening');
      return server;
    };
    /** Of processes that are killed: a moment later than their names are gone from /proc. */
    const isFreed = async (at: number): Promise<void> => {
      for (;;) {
        try {
          (await listening(at)).close();
          return;
        } catch {
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      }
    };
    const portOf = (server: Server): number => {
      const at = server.address();
      assert.ok(typeof at === 'object' && at !== null);
      return at.port;
    };
    /** What the container says to a client. */
    const hello = async (): Promise<string> => {
      const client = connect(port, '127.0.0.1');
      const [text] = await once(client, 'data');
      client.destroy();
      return String(text);
    };
    const serve = async (env: Readonly<Record<string, string>> = {}): Promise<Program> => {
      const line = `-use-listen-fd -container-port ${portOf(container)}`;
      const all = { ...environment(), HAWSER_LOCAL: 'always', ...env };
      const program = new Program([SHELL, ...words(line)], all, fdOf(listener));
      programs.push(program);
      listener.close(); // as dockerd does
      assert.equal(await program.status, '0\n');
      return program;
    };

    beforeEach(async () => {
      container = await listening(0);
      container.on('connection', (socket) => socket.end('hello'));
      listener = await listening(0);
      port = portOf(listener);
    });
    afterEach(() => {
      container.close();
      listener.close();
    });

    it('serves it without a Node of its own; the port is free when it has ended', async () => {
      const program = await serve();
      assert.equal(brokers().length, 1);
      const status = readFileSync(`/proc/${program.child.pid}/comm`, 'utf8');
      assert.equal(status.trim(), 'hawser-docker-p');
      assert.equal(await hello(), 'hello');
      program.child.kill('SIGINT');
      assert.equal(await program.exit(), 0);
      (await listening(port)).close();
    });

    it('the next broker takes it again', async () => {
      await serve();
      const [broker = 0] = brokers();
      process.kill(broker, 'SIGKILL');
      await eventually(() => brokers().some((pid) => pid !== broker));
      assert.equal(await hello(), 'hello');
    });

    it('SIGKILL of the shell and of the broker frees it', async () => {
      const program = await serve();
      const [broker = 0] = brokers();
      program.child.kill('SIGKILL');
      process.kill(broker, 'SIGKILL');
      await program.exit();
      await isFreed(port);
    });

    it('a broker that hangs does not keep the shell from ending', async () => {
      const program = await serve();
      const [broker = 0] = brokers();
      process.kill(broker, 'SIGSTOP');
      program.child.kill('SIGINT');
      await program.exit();
      process.kill(broker, 'SIGCONT');
    });

    it('where nobody can take it: Node for this port', async () => {
      // No koffi is found from there.
      const main = join(control.dir, 'docker-proxy.cjs');
      cpSync(BUNDLE, main);
      const program = await serve({ HAWSER_DOCKER_PROXY_MAIN: main });
      assert.match(readFileSync(`/proc/${program.child.pid}/comm`, 'utf8'), /^(node|MainThread)/);
      assert.equal(await hello(), 'hello');
    });

    it('UDP: the bound socket', async () => {
      const echo = createSocket('udp4', (bytes, { port: at, address }) => {
        echo.send(bytes, at, address);
      });
      const bound = createSocket('udp4');
      echo.bind(0, '127.0.0.1');
      bound.bind(0, '127.0.0.1');
      await Promise.all([once(echo, 'listening'), once(bound, 'listening')]);
      const at = bound.address().port;
      const line = `-proto udp -use-listen-fd -container-port ${echo.address().port}`;
      const all = { ...environment(), HAWSER_LOCAL: 'always' };
      const program = new Program([SHELL, ...words(line)], all, fdOf(bound));
      programs.push(program);
      bound.close();
      assert.equal(await program.status, '0\n');
      const client = createSocket('udp4');
      client.connect(at, '127.0.0.1');
      await once(client, 'connect');
      client.send('ping');
      const [answer] = await once(client, 'message');
      assert.equal(String(answer), 'ping');
      client.close();
      echo.close();
      program.child.kill('SIGINT');
      assert.equal(await program.exit(), 0);
    });
  });

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

  it('-prepare: the first port finds a broker, and starts no Node', async () => {
    const prepare = start([SHELL, '-prepare', `${process.pid}`]);
    assert.equal(await prepare.exit(), 0);
    assert.equal(brokers().length, 1);
    assert.equal(await start([SHELL, '-prepare', `${process.pid}`]).exit(), 0);
    assert.equal(brokers().length, 1, 'it had one');
    const program = start(['env', 'HAWSER_DOCKER_PROXY_MAIN=/none', SHELL, ...words()]);
    assert.equal(await program.status, '0\n');
    program.child.kill('SIGTERM');
    assert.equal(await program.exit(), 0);
  });

  for (const [name, ...given] of [
    ['no process id'],
    ['no number', 'dockerd'],
    ['a process that is not there', '999999999'],
    ['more words', '1', '-proto'],
  ]) {
    it(`-prepare with ${name} is refused, and starts nothing`, async () => {
      assert.equal(await start([SHELL, '-prepare', ...given]).exit(), 2);
      assert.deepEqual(brokers(), []);
    });
  }

  it('-prepare says that there is no broker', async () => {
    const argv = ['env', 'HAWSER_DOCKER_PROXY_MAIN=/none', SHELL, '-prepare', `${process.pid}`];
    assert.equal(await start(argv).exit(), 1);
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
