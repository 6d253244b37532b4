import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Duplex, PassThrough } from 'node:stream';
import { SILENT } from '../../../src/base/log.ts';
import { loadPosix } from '../../../src/native/load.ts';
import type { PortTable, PublishedPort } from '../../../src/proxy/ports/port-table.ts';
import { parsePublish } from '../../../src/proxy/ports/publish-text.ts';
import { LOGIN_MS } from '../../../src/proxy/ssh/ssh-client.ts';
import {
  FORWARD_LIMITS,
  type ForwardLimits,
  SshForwards,
} from '../../../src/proxy/ssh/ssh-forwards.ts';
import {
  type OpenOutcome,
  type SshConnection,
  SshError,
  type SshIdentity,
  type SshLibrary,
  type SshLogin,
} from '../../../src/proxy/ssh/ssh-library.ts';
import { portTable } from '../ports/port-fixture.ts';
import { flowBook, OWNER, TestClock, until } from '../recording.ts';

const BEGIN = '-----BEGIN OPENSSH PRIVATE KEY-----\n';
const SOCKET = '/run/engine.sock';
/** So short that what waits for them does not take long, or so long that it does not come. */
const SOON = 20;
const NEVER_MS = 60_000;
const LIMITS: Partial<ForwardLimits> = {
  ...{ openMs: SOON, dialMs: NEVER_MS, firstRetryMs: 1, lastRetryMs: 2, deniedMs: 1 },
  patienceMs: NEVER_MS,
};

/** What the server does with a channel, or a login. */
type OnOpen = 'echo' | 'refuse' | 'silent';
type OnLogin = OnOpen | 'deny' | 'unreachable';

class FakeConnection implements SshConnection {
  isLost = false;
  isClosed = false;
  channels = 0;
  onIdle: () => void = () => {};
  does: OnOpen;
  readonly open: Duplex[] = [];
  private readonly onLost: () => void;

  constructor(does: OnOpen, onLost: () => void) {
    this.does = does;
    this.onLost = onLost;
  }

  openUnix(path: string, timeoutMs: number): Promise<OpenOutcome> {
    assert.equal(path, SOCKET);
    switch (this.does) {
      case 'refuse':
        return Promise.resolve({ kind: 'refused', text: 'open failed' });
      case 'silent':
        return new Promise((resolve) => {
          setTimeout(() => resolve({ kind: 'no-answer' }), timeoutMs);
        });
      case 'echo':
        return Promise.resolve({ kind: 'open', channel: this.echo() });
    }
  }

  lose(): void {
    this.isLost = true;
    for (const channel of this.open) channel.push(null);
    this.onLost();
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.lose();
  }

  private echo(): Duplex {
    const channel = new PassThrough();
    this.channels++;
    this.open.push(channel);
    channel.once('close', () => {
      this.channels--;
      if (this.channels === 0) this.onIdle();
    });
    return channel;
  }
}

class FakeLibrary implements SshLibrary {
  readonly logins: OnLogin[] = [];
  readonly connections: FakeConnection[] = [];
  attempts = 0;
  isMissing = false;

  identify({ key }: SshIdentity): SshLogin {
    if (!key.endsWith('good')) throw new SshError('key', 'Malformed');
    return { connect: (_stream, onLost) => this.connect(onLost) };
  }

  private connect(onLost: () => void): Promise<SshConnection> {
    this.attempts++;
    const does = this.logins.shift() ?? 'echo';
    if (does === 'unreachable') return Promise.reject(new SshError('failed', 'not yet'));
    if (does === 'deny') return Promise.reject(new SshError('denied', 'no such key'));
    const connection = new FakeConnection(does, onLost);
    this.connections.push(connection);
    return Promise.resolve(connection);
  }
}

describe('SSH forwards', () => {
  let dir: string;
  let library: FakeLibrary;
  let forwards: SshForwards;
  let table: PortTable;
  const clients: Socket[] = [];

  const open = (limits: Partial<ForwardLimits> = {}): void => {
    library = new FakeLibrary();
    forwards = new SshForwards(
      {
        load: () =>
          library.isMissing
            ? Promise.reject(new SshError('no-library', 'not there'))
            : Promise.resolve(library),
        dial: () => Promise.resolve(new PassThrough()),
        ownerOf: () => OWNER,
        book: flowBook(),
        clock: new TestClock(),
        log: SILENT,
      },
      { ...LIMITS, ...limits },
    );
    table = portTable({ ssh: forwards });
  };
  const publish = async (name = 'host', key = 'key', more = ''): Promise<PublishedPort> => {
    const url = `ssh-tunnel://core@192.168.127.2${SOCKET}?key=${dir}/${key}${more}`;
    const [spec] = parsePublish(`unix:${dir}/${name}:${url}`);
    assert.ok(spec !== undefined);
    return await table.publish(spec, 'config');
  };
  const client = (name = 'host'): Socket => {
    const socket = connect({ path: join(dir, name), allowHalfOpen: true });
    socket.on('error', () => {});
    clients.push(socket);
    return socket;
  };
  const readAll = async (socket: Socket): Promise<string> => {
    let text = '';
    for await (const chunk of socket) text += chunk;
    return text;
  };
  const count = (name: string): number =>
    Object.entries(forwards.counts.snapshot()).find(([key]) => key === name)?.[1] ?? 0;
  const first = (): FakeConnection => library.connections[0] ?? assert.fail('no connection');

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-ssh-'));
    writeFileSync(join(dir, 'key'), `${BEGIN}good`);
    writeFileSync(join(dir, 'bad'), `${BEGIN}bad`);
    open();
  });
  afterEach(() => {
    for (const socket of clients.splice(0)) socket.destroy();
    table.close();
    forwards.close();
    rmSync(dir, { recursive: true });
  });

  it('a client reaches the socket, and each side ends by itself', async () => {
    await publish();
    const socket = client();
    socket.end('x'.repeat(1 << 20)); // more than is kept while it waits
    assert.equal((await readAll(socket)).length, 1 << 20);
    await until(() => table.list()[0]?.active === 0);
    assert.equal(count('served'), 1);
  });

  it('no connection without a client; forwards to one guest by one key share it', async () => {
    await publish('one');
    await publish('other');
    assert.equal(library.attempts, 0);
    for (const name of ['one', 'other']) {
      const socket = client(name);
      socket.end('x');
      assert.equal(await readAll(socket), 'x');
    }
    assert.equal(library.attempts, 1);
  });

  it('a client waits for a server that is late', async () => {
    library.logins.push('unreachable', 'unreachable', 'unreachable');
    await publish();
    const socket = client();
    socket.end('x');
    assert.equal(await readAll(socket), 'x');
    assert.equal(count('connect-failed'), 3);
  });

  it('a client outlasts a server that is two minutes late, and its login', () => {
    const { patienceMs, dialMs, lastRetryMs, openMs } = FORWARD_LIMITS;
    assert.ok(patienceMs >= 120_000 + dialMs + lastRetryMs + LOGIN_MS + openMs, `${patienceMs}`);
  });

  it('attempts end with the last client that waits', async () => {
    open({ patienceMs: SOON });
    library.logins.push(...Array.from({ length: 1000 }, () => 'unreachable' as const));
    await publish();
    assert.equal(await readAll(client()), '');
    assert.equal(count('client-timed-out'), 1);
    const { attempts } = library;
    await until(() => table.list()[0]?.active === 0);
    assert.ok(library.attempts <= attempts + 1);
  });

  it('a login that is denied three times ends the wait', async () => {
    library.logins.push('deny', 'deny', 'deny');
    await publish();
    assert.equal(await readAll(client()), '');
    assert.equal(count('client-denied'), 1);
    assert.equal(library.attempts, 3);
  });

  it('a socket that nobody serves ends the client, not the connection', async () => {
    await publish();
    library.logins.push('refuse');
    assert.equal(await readAll(client()), '');
    assert.equal(count('client-refused'), 1);
    first().does = 'echo';
    const socket = client();
    socket.end('x');
    assert.equal(await readAll(socket), 'x');
    assert.equal(library.attempts, 1);
  });

  it('a channel that is not granted in time: another connection, and the old one ends with its last channel', async () => {
    await publish();
    const old = client();
    old.write('x');
    await new Promise((resolve) => old.once('data', resolve));
    first().does = 'silent';
    const socket = client();
    socket.end('y');
    assert.equal(await readAll(socket), 'y');
    assert.equal(library.attempts, 2);
    assert.ok(!first().isClosed);
    old.end();
    await until(() => first().isClosed);
    assert.equal(count('retired'), 1);
  });

  it('at most so many connections wait for their last channels', async () => {
    open({ retired: 1 });
    await publish();
    for (let i = 0; i < 3; i++) {
      const socket = client();
      socket.write('x');
      await new Promise((resolve) => socket.once('data', resolve));
      const connection = library.connections.at(-1);
      if (connection !== undefined) connection.does = 'silent';
    }
    await until(() => first().isClosed);
    assert.ok(library.connections[1]?.isClosed === false);
  });

  it('a connection that is lost ends its clients', async () => {
    await publish();
    const socket = client();
    socket.write('x');
    await new Promise((resolve) => socket.once('data', resolve));
    first().lose();
    await readAll(socket);
    assert.equal(count('client-connection-lost'), 1);
    const next = client();
    next.end('y');
    assert.equal(await readAll(next), 'y');
    assert.equal(count('connected'), 2);
  });

  it('a client that leaves while it waits is noticed, however much of it was not read', async () => {
    loadPosix();
    open({ firstRetryMs: NEVER_MS, lookMs: 1 });
    library.logins.push('unreachable');
    await publish();
    const socket = client();
    socket.write('x'.repeat(1 << 20));
    await until(() => table.list()[0]?.active === 1 && socket.bytesWritten > 0);
    socket.destroy();
    await until(() => count('client-left') === 1);
    assert.equal(table.list()[0]?.active, 0);
  });

  it('so many clients wait; one that has ended its side makes room', async () => {
    open({ waiting: 2, firstRetryMs: NEVER_MS });
    library.logins.push('unreachable');
    await publish();
    const waiting = [client(), client()];
    await until(() => table.list()[0]?.active === 2);
    assert.equal(await readAll(client()), '');
    assert.equal(count('overflow'), 1);
    waiting[0]?.end('x');
    while (count('client-left') === 0) {
      await Promise.race([readAll(client()), until(() => count('client-left') > 0)]);
    }
  });

  it('so many clients are served', async () => {
    open({ clients: 1 });
    await publish();
    const served = client();
    served.write('x');
    await new Promise((resolve) => served.once('data', resolve));
    assert.equal(await readAll(client()), '');
    assert.equal(count('overflow'), 1);
  });

  it('a withdrawn forward leaves its clients, then its connection', async () => {
    const { id } = await publish();
    const socket = client();
    socket.write('x');
    await new Promise((resolve) => socket.once('data', resolve));
    table.unpublish(id);
    assert.ok(!first().isClosed);
    socket.end();
    await until(() => first().isClosed);
  });

  it('a key that turns out to be of no use ends the wait', async () => {
    await publish('host', 'bad');
    assert.equal(await readAll(client()), '');
    assert.equal(count('client-key'), 1);
    assert.equal(library.attempts, 0);
  });

  it('a library that is not there ends the wait', async () => {
    library.isMissing = true;
    await publish();
    assert.equal(await readAll(client()), '');
    assert.equal(count('client-no-library'), 1);
  });

  it('a key with a passphrase is read at once', async () => {
    const more = '&passphrase=x';
    const expected = { code: 'ERR_HAWSER_PUBLISH_KEY', message: /key \S+bad cannot be used: Malf/ };
    await assert.rejects(publish('host', 'bad', more), expected);
    await publish('host', 'key', more);
  });

  const bad: readonly [string, string, RegExp][] = [
    ['that is not there', 'none', /private key \S+none cannot be used: ENOENT/],
    ['that is none', 'text', /private key \S+text cannot be used: it is not a private key/],
  ];
  for (const [what, key, message] of bad) {
    it(`a key ${what} is no publication`, async () => {
      writeFileSync(join(dir, 'text'), 'no key');
      await assert.rejects(publish('host', key), { code: 'ERR_HAWSER_PUBLISH_KEY', message });
      assert.deepEqual(table.list(), []);
    });
  }
});
