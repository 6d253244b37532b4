import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import ssh2, {
  type AcceptConnection,
  type Connection,
  type Server,
  type ServerChannel,
} from 'ssh2';
import { identify } from '../../../src/proxy/ssh/ssh-client.ts';
import type { SshConnection } from '../../../src/proxy/ssh/ssh-library.ts';
import { until } from '../recording.ts';

const LATE_MS = 60_000;
const SOON_MS = 20;
const KEEPALIVE_MS = 15_000;
const KEEPALIVE_MAX = 3;

/** Of Node and not of ssh2, whose Ed25519 keys lose a leading zero byte: one of 256 cannot be read back. */
const privateKey = (): string =>
  generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'sec1', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  }).privateKey;
const HOST_KEY = privateKey();
const KEY = privateKey();

const portOf = (address: ReturnType<Server['address']>): number =>
  typeof address === 'object' && address !== null ? address.port : 0;

type Accept = AcceptConnection<ServerChannel>;

describe('the SSH client', () => {
  /** What was asked for, and not answered yet. */
  let opens: Accept[];
  let client: Socket;
  let server: Server;
  let lost: number;
  let onOpen: () => void;

  const login = async (isAccepted = true): Promise<SshConnection> => {
    server = new ssh2.Server({ hostKeys: [HOST_KEY] }, (connection: Connection) => {
      connection.on('error', () => {});
      connection.on('authentication', (context) => {
        if (context.method === 'publickey' && isAccepted) context.accept();
        else context.reject();
      });
      connection.on('openssh.streamlocal', (accept) => {
        opens.push(accept);
        onOpen();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    client = connect(portOf(server.address()), '127.0.0.1');
    await new Promise((resolve) => client.once('connect', resolve));
    const identity = identify({ user: 'core', key: KEY, passphrase: undefined });
    return await identity.connect(client, () => {
      lost++;
    });
  };
  const opened = (count: number): Promise<void> =>
    new Promise((resolve) => {
      onOpen = () => {
        if (opens.length >= count) resolve();
      };
      onOpen();
    });

  beforeEach(() => {
    opens = [];
    lost = 0;
    onOpen = () => {};
  });
  afterEach(() => {
    client.destroy();
    server.close();
  });

  it('a channel carries bytes both ways, and each side ends by itself', async () => {
    const connection = await login();
    const outcome = connection.openUnix('/run/x.sock', LATE_MS);
    await opened(1);
    const peer = opens[0]?.() ?? assert.fail('no channel');
    peer.on('data', (chunk: Buffer) => peer.write(`<${chunk}>`));
    peer.on('end', () => peer.end('end'));
    const channel = await outcome;
    assert.ok(channel.kind === 'open');
    channel.channel.end('hello');
    let text = '';
    for await (const chunk of channel.channel) text += chunk;
    assert.equal(text, '<hello>end');
    assert.equal(connection.channels, 0);
  });

  it('a login that is denied says so', async () => {
    await assert.rejects(login(false), { code: 'ERR_HAWSER_SSH_DENIED' });
  });

  it('a channel that is granted too late is closed', async () => {
    const connection = await login();
    const outcome = connection.openUnix('/run/x.sock', SOON_MS);
    await opened(1);
    assert.deepEqual(await outcome, { kind: 'no-answer' });
    const peer = opens[0]?.() ?? assert.fail('no channel');
    await new Promise((resolve) => peer.resume().once('close', resolve));
    assert.equal(connection.channels, 0);
  });

  it('closed while channels are asked for: none of them is granted any more', async () => {
    const connection = await login();
    const outcomes = [1, 2, 3].map(() => connection.openUnix('/run/x.sock', LATE_MS));
    await opened(3);
    for (const accept of opens.slice(0, 1)) accept();
    connection.close();
    for (const accept of opens.slice(1)) accept();
    const kinds = (await Promise.all(outcomes)).map(({ kind }) => kind);
    assert.deepEqual(kinds, ['no-answer', 'no-answer', 'no-answer']);
    assert.equal(lost, 1);
  });

  /** A channel is open when this resolves. */
  const endOfChannel = async (connection: SshConnection): Promise<{ ended: Promise<unknown> }> => {
    const outcome = connection.openUnix('/run/x.sock', LATE_MS);
    await opened(1);
    opens[0]?.();
    const granted = await outcome;
    assert.ok(granted.kind === 'open');
    const { channel } = granted;
    return { ended: new Promise((resolve) => channel.resume().once('close', resolve)) };
  };

  it('a connection that is lost ends its channels, and grants no more', async () => {
    const connection = await login();
    const channelEnd = await endOfChannel(connection);
    client.destroy();
    await channelEnd.ended;
    assert.ok(connection.isLost);
    assert.deepEqual(await connection.openUnix('/x', LATE_MS), { kind: 'no-answer' });
  });

  describe('keepalive', () => {
    const { setInterval: startInterval } = globalThis;
    /** What the library has begun to repeat, each 15 s: run by hand. */
    let repeated: (() => void)[];
    const repeat = (): void => repeated.at(-1)?.();

    beforeEach(() => {
      repeated = [];
      const held = (run: () => void, ms: number): NodeJS.Timeout => {
        if (ms !== KEEPALIVE_MS) return startInterval(run, ms);
        repeated.push(run);
        return startInterval(() => {}, LATE_MS).unref();
      };
      Reflect.set(globalThis, 'setInterval', held);
    });
    afterEach(() => {
      Reflect.set(globalThis, 'setInterval', startInterval);
    });

    it('each answer begins the count anew', async () => {
      const connection = await login();
      for (let i = 0; i < 2 * KEEPALIVE_MAX; i++) {
        const { length } = repeated;
        repeat();
        await until(() => repeated.length > length);
      }
      assert.ok(!connection.isLost);
    });

    it('a server that leaves three questions unanswered is gone, and its channels end', async () => {
      const connection = await login();
      const channelEnd = await endOfChannel(connection);
      client.pause();
      for (let i = 0; i < KEEPALIVE_MAX; i++) repeat();
      assert.ok(!connection.isLost && !client.destroyed);
      repeat();
      await channelEnd.ended;
      assert.ok(connection.isLost);
      assert.equal(lost, 1);
    });
  });
});
