import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text as streamText } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { SILENT } from '../../src/base/log.ts';
import { runDaemon } from '../../src/cli/daemon.ts';
import { ApiClient } from '../../src/control/client.ts';
import { shutdownSchema } from '../../src/control/schema.ts';
import { FakeNetwork, optionsIn } from './fake-network.ts';

const FIXTURE = fileURLToPath(new URL('./daemon-fixture.js', import.meta.url));

interface Ended {
  readonly status: number | null;
  readonly signal: string | null;
  readonly stderr: string;
}

class Process {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  private stderr = '';

  constructor(dir: string, plan: string) {
    this.child = spawn(process.execPath, [FIXTURE, JSON.stringify({ dir, plan })], {
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    });
    this.child.stderr?.on('data', (chunk) => {
      this.stderr += String(chunk);
    });
    this.ended = once(this.child, 'close').then(([status, signal]) => ({
      status,
      signal,
      stderr: this.stderr,
    }));
  }

  async ready(): Promise<Record<string, unknown>> {
    assert.ok(this.child.stdout !== null);
    const [chunk] = await once(this.child.stdout, 'data');
    return JSON.parse(String(chunk));
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }
}

describe('daemon process', () => {
  let dir: string;
  const started: Process[] = [];
  const start = (plan = ''): Process => {
    const made = new Process(dir, plan);
    started.push(made);
    return made;
  };

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
  });
  afterEach(async () => {
    for (const one of started) one.kill('SIGKILL');
    await Promise.all(started.map(({ ended }) => ended));
    started.length = 0;
    rmSync(dir, { recursive: true });
  });

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`${signal} ends it with 0, sockets and pid file removed`, async () => {
      const daemon = start();
      const line = await daemon.ready();
      assert.deepEqual(line, {
        ready: true,
        name: 'test',
        pid: daemon.child.pid,
        links: [`qemu:${dir}/qemu.sock`],
        api: `unix:${dir}/api.sock`,
        ports: [],
      });
      assert.equal(readFileSync(`${dir}/hawser.pid`, 'utf8'), `${daemon.child.pid}\n`);
      daemon.kill(signal);
      assert.equal((await daemon.ended).status, 0);
      assert.deepEqual(readdirSync(dir), []);
    });
  }

  it('readiness is one line on its descriptor, then its end', async () => {
    const daemon = start('ready-on-3');
    const reader = daemon.child.stdio[3];
    assert.ok(reader instanceof Readable);
    const text = await streamText(reader);
    assert.match(text, /^\{"ready":true,[^\n]*\}\n$/);
    daemon.kill('SIGTERM');
    assert.equal((await daemon.ended).status, 0);
  });

  it('SIGHUP is ignored', async () => {
    const daemon = start();
    await daemon.ready();
    daemon.kill('SIGHUP');
    const client = new ApiClient({ kind: 'unix', path: `${dir}/api.sock` });
    await client.post('/v1/shutdown', shutdownSchema);
    assert.equal((await daemon.ended).status, 0);
  });

  it('an end that hangs is cut short, with status 0 and nothing left', async () => {
    const daemon = start('hang');
    await daemon.ready();
    daemon.kill('SIGTERM');
    assert.equal((await daemon.ended).status, 0);
    assert.deepEqual(readdirSync(dir), []);
  });

  it('the last guest leaving ends it with 0', async () => {
    assert.equal((await start('guest-leaves').ended).status, 0);
  });

  it('a failure to start is status 1 with a message, and nothing left', async () => {
    const { status, stderr } = await start('fail').ended;
    assert.equal(status, 1);
    assert.match(stderr, /hawser: cannot listen: choose another --listen/);
    assert.deepEqual(readdirSync(dir), []);
  });

  it('an uncaught exception is logged, status 1, and nothing left', async () => {
    const { status, stderr } = await start('crash').ended;
    assert.equal(status, 1);
    assert.match(stderr, /oh no/);
    assert.deepEqual(readdirSync(dir), []);
  });

  it('an exception of one flow, once others depend on it, is logged and ends nothing', async () => {
    const daemon = start('fault');
    await daemon.ready();
    const client = new ApiClient({ kind: 'unix', path: `${dir}/api.sock` });
    await client.post('/v1/shutdown', shutdownSchema);
    const { status, stderr } = await daemon.ended;
    assert.equal(status, 0);
    assert.match(stderr, /oh no.*daemon-fixture/s);
  });

  it('SIGTERM ends it although nobody reads its full stderr', async () => {
    const daemon = start('flood');
    daemon.child.stderr?.pause();
    await daemon.ready();
    daemon.kill('SIGTERM');
    const [status] = await once(daemon.child, 'exit');
    assert.equal(status, 0);
    assert.ok(existsSync(`${dir}/flooded`));
    daemon.child.stderr?.resume();
  });

  it('closed stdout and stderr do not end it', async () => {
    const daemon = start();
    await daemon.ready();
    daemon.child.stdout?.destroy();
    daemon.child.stderr?.destroy();
    daemon.kill('SIGHUP');
    const client = new ApiClient({ kind: 'unix', path: `${dir}/api.sock` });
    await client.post('/v1/shutdown', shutdownSchema);
    assert.equal((await daemon.ended).status, 0);
  });

  it('a killed predecessor is taken over, a live one refused', async () => {
    const first = start();
    await first.ready();
    const refused = await start().ended;
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, new RegExp(`belongs to the running process ${first.child.pid}`));
    const socketRefused = await start('no-pid-file').ended;
    assert.equal(socketRefused.status, 1);
    assert.match(socketRefused.stderr, /api\.sock: a process serves it already/);
    assert.ok(existsSync(`${dir}/hawser.pid`), 'the live one keeps its pid file');
    assert.ok(existsSync(`${dir}/api.sock`), 'the live one keeps its socket');
    first.kill('SIGKILL');
    await first.ended;
    assert.ok(existsSync(`${dir}/api.sock`));
    const second = start();
    await second.ready();
    second.kill('SIGTERM');
    assert.equal((await second.ended).status, 0);
    assert.deepEqual(readdirSync(dir), []);
  });

  it('of many that find a stale pid file exactly one starts', async () => {
    const dead = start('fail');
    await dead.ended;
    writeFileSync(`${dir}/hawser.pid`, `${dead.child.pid}\n`);
    const racers = Array.from({ length: 8 }, () => start());
    const outcomes = racers.map((racer) =>
      Promise.race([racer.ready().then(() => 'ready'), racer.ended.then(({ status }) => status)]),
    );
    const results = await Promise.all(outcomes);
    assert.equal(results.filter((result) => result === 'ready').length, 1, String(results));
    assert.equal(results.filter((result) => result === 1).length, 7);
  });
});

describe('daemon', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  it('SIGTERM while starting ends it with 0 and closes what was made', async () => {
    const events = new EventEmitter();
    const network = new FakeNetwork();
    const status = await runDaemon(optionsIn(dir), {
      openNetwork: () => {
        events.emit('SIGTERM');
        return Promise.resolve(network);
      },
      log: SILENT,
      version: '0',
      events,
      graceMs: 1_000,
      exit: () => assert.fail('hard exit'),
    });
    assert.equal(status, 0);
    assert.ok(network.isClosed);
    assert.deepEqual(readdirSync(dir), []);
    assert.deepEqual(events.eventNames(), [], 'no listener stays behind');
  });

  it('a second signal leaves at once', async () => {
    const events = new EventEmitter();
    const exits: number[] = [];
    let closeNetwork = (): void => {};
    const network = new FakeNetwork();
    network.close = () =>
      new Promise((resolve) => {
        closeNetwork = resolve;
        events.emit('SIGINT');
      });
    await runDaemon(optionsIn(dir), {
      openNetwork: () => Promise.resolve(network),
      log: SILENT,
      version: '0',
      events,
      graceMs: 60_000,
      exit: (status) => {
        exits.push(status);
        assert.deepEqual(readdirSync(dir), []);
        setImmediate(() => closeNetwork());
      },
      onReady: () => events.emit('SIGTERM'),
    });
    assert.deepEqual(exits, [0]);
  });

  it('guests are kept from an API over TCP, at the port that it got', async () => {
    const events = new EventEmitter();
    const network = new FakeNetwork();
    const tokenFile = join(dir, 'token');
    writeFileSync(tokenFile, '0123456789abcdef', { mode: 0o600 });
    const api = { kind: 'tcp', address: '127.0.0.1', port: 0, tokenFile } as const;
    let where = '';
    await runDaemon(optionsIn(dir, { api }), {
      openNetwork: () => Promise.resolve(network),
      log: {
        ...SILENT,
        info: (fields) => {
          if ('api' in fields) where = String(fields.api);
        },
      },
      version: '0',
      events,
      graceMs: 1_000,
      exit: () => assert.fail('hard exit'),
      onReady: () => events.emit('SIGTERM'),
    });
    const port = /^tcp:127\.0\.0\.1:([1-9]\d*)$/.exec(where)?.[1];
    assert.deepEqual(network.denied, ['process', `127.0.0.1 ${port}`]);
  });

  it('an API that cannot be served closes the network again', async () => {
    const network = new FakeNetwork();
    const live = createServer().listen(`${dir}/api.sock`);
    await once(live, 'listening');
    await assert.rejects(
      runDaemon(optionsIn(dir), {
        openNetwork: () => Promise.resolve(network),
        log: SILENT,
        version: '0',
        events: new EventEmitter(),
        graceMs: 1_000,
        exit: () => assert.fail('hard exit'),
      }),
      /a process serves it already/,
    );
    assert.ok(network.isClosed);
    assert.deepEqual(readdirSync(dir), ['api.sock']);
    live.close();
  });

  it('a readiness descriptor that is not open is bad usage', async () => {
    await assert.rejects(
      runDaemon(optionsIn(dir, { readyFd: 99_999 }), {
        openNetwork: () => assert.fail('started'),
        log: SILENT,
        version: '0',
        events: new EventEmitter(),
        graceMs: 1_000,
        exit: () => assert.fail('hard exit'),
      }),
      { code: 'ERR_HAWSER_USAGE', message: /--ready-fd 99999: must be an open descriptor/ },
    );
  });
});
