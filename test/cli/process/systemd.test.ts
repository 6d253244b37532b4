import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, writeFileSync } from 'node:fs';
import { connect, createServer, type NetConnectOpts, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WebSocket } from 'ws';
import { loadPosix } from '../../../src/native/load.ts';
import { GET_FEATURES } from '../../../src/transports/vhost-user/message.ts';
import { freePort } from '../../support/free-port.ts';
import { listenTcp, listenUnix } from '../../support/listening-descriptor.ts';
import { itNeeding } from '../../support/requirements.ts';
import { Vmn3tClient } from '../../support/vmn3t-client.ts';
import { frameOf, MessageClient } from '../../transports/messages/message-client.ts';
import { SocketFrontend } from '../../transports/vhost-user/socket-frontend.ts';
import { HAWSER, Workplace } from './hawser.ts';

const CONTRIB = fileURLToPath(new URL('../../../../contrib', import.meta.url));
/** What systemd does last: the process that is to run has its own id in LISTEN_PID. */
const ACTIVATE = 'LISTEN_PID=$$ exec "$0" "$@"';

describe('socket activation', () => {
  let place: Workplace;
  const servers: Server[] = [];
  beforeEach(() => {
    place = new Workplace();
  });
  afterEach(async () => {
    await place.close();
    for (const server of servers.splice(0)) server.close();
  });
  const listenAt = async (path: string): Promise<number> => {
    const server = createServer();
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const handle: unknown = Reflect.get(server, '_handle');
    assert.ok(typeof handle === 'object' && handle !== null);
    return Number(Reflect.get(handle, 'fd'));
  };
  const activated = (fds: readonly number[], args: readonly string[]) =>
    place.start('sh', ['-c', ACTIVATE, process.execPath, HAWSER, 'run', ...args], {
      env: { LISTEN_FDS: String(fds.length) },
      stdio: ['ignore', 'pipe', 'pipe', ...fds],
    });

  it('links and the API are served on sockets that were passed, and stay when the daemon ends', async () => {
    const [link, vpnkit, api] = [place.path('q.sock'), place.path('v.sock'), place.path('a.sock')];
    const links = ['--listen', `qemu:${link}`, '--listen', `vpnkit:${vpnkit}`];
    const args = [HAWSER, 'run', ...links, '--api', `unix:${api}`];
    // It accepts nothing itself: it waits for the daemon without a turn of its loop.
    const script = `const { existsSync } = require('fs');
      const paths = ${JSON.stringify([api, link, vpnkit])};
      const servers = paths.map((path) => require('net').createServer().listen(path));
      servers[2].once('listening', () => {
        for (const round of [1, 2]) {
          const { status } = require('child_process').spawnSync('sh',
            ['-c', ${JSON.stringify(ACTIVATE)}, process.execPath, ...${JSON.stringify(args)}],
            { env: { ...process.env, LISTEN_FDS: '3' }, stdio: ['ignore', 1, 2, ...servers.map((s) => s._handle.fd)] });
          require('fs').writeSync(1, 'round ' + round + ': ' + status + paths.map(existsSync) + '\\n');
        }
        process.exit();
      });`;
    const launcher = place.start(process.execPath, ['-e', script]);
    for (const round of [1, 2]) {
      await launcher.says(new RegExp(`(is ready[^]*){${round}}`));
      const guest = connect(link);
      const other = await Vmn3tClient.at(vpnkit);
      await other.open('11111111-2222-4333-8444-555555555555');
      await launcher.says(new RegExp(`(guest link up[^]*){${2 * round}}`));
      guest.destroy();
      other.close();
      const stop = place.hawser(['stop', '--api', `unix:${api}`]);
      await launcher.says(new RegExp(`round ${round}: 0true,true,true`), 'stdout');
      await stop.ended;
    }
    await launcher.ended;
  });

  it('links of messages are served on sockets that were passed, of the right type', async () => {
    const { messageSockets } = loadPosix();
    const paths = ['v.sock', 'b.sock', 'd.sock'].map((name) => place.path(name));
    const [vfkit = '', bess = '', dgram = ''] = paths;
    const fds = [
      messageSockets.open('dgram', vfkit, 0o600),
      messageSockets.open('seqpacket', bess, 0o600),
      messageSockets.open('dgram', dgram, 0o600),
    ];
    const links = [`vfkit:${vfkit}`, `bess:${bess}`, `qemu-dgram:${dgram},${dgram}.vm`];
    const args = links.flatMap((link) => ['--listen', link]);
    const daemon = activated(fds, args);
    const guests = [
      MessageClient.datagrams(place.path('guest.sock')).connect(vfkit),
      MessageClient.packets(bess),
      MessageClient.datagrams(`${dgram}.vm`).connect(dgram),
    ];
    for (const guest of guests) assert.equal(guest.send(frameOf(1)), 'ok');
    await daemon.says(/(guest link up[\s\S]*){3}/);
    daemon.child.kill();
    assert.equal((await daemon.ended).status, 0);
    assert.deepEqual(paths.map(existsSync), [true, true, true]);
    // Datagram sockets of machines do not see that the daemon is another one.
    const next = activated(fds, args);
    for (const guest of [guests[0], guests[2]]) assert.equal(guest?.send(frameOf(2)), 'ok');
    await next.says(/vfkit:.*guest link up/);
    await next.says(/qemu-dgram:.*guest link up/);
    next.child.kill();
    assert.equal((await next.ended).status, 0);
    for (const guest of guests) guest.close();
    const wrong = activated(fds.slice(0, 1), ['--listen', `bess:${vfkit}`]);
    assert.equal((await wrong.ended).status, 1);
    assert.match(wrong.stderr, /needs ListenSequentialPacket= in the unit/);
    for (const fd of fds) closeSync(fd);
  });

  /** A guest or a client, which connects before there is a daemon. */
  interface Caller {
    /** The daemon has answered it. */
    readonly served: Promise<unknown>;
    close(): void;
  }

  /** A link, or the API. */
  interface Activated {
    readonly fd: number;
    readonly args: readonly string[];
    /** Of a Unix socket. */
    readonly path?: string;
    /** What the daemon says then. Default: that a guest is there. */
    readonly says?: RegExp;
    call(): Promise<Caller>;
  }

  const connected = async (to: NetConnectOpts): Promise<Socket> => {
    const socket = connect(to);
    socket.on('error', () => {});
    await once(socket, 'connect');
    return socket;
  };
  /** The API answers a request; a link ends the connection of a guest that is none. */
  const answered = (socket: Socket, request: string): Caller => {
    socket.write(request);
    return { served: once(socket, 'data'), close: () => socket.destroy() };
  };
  const REQUEST = 'GET /v1/info HTTP/1.0\r\n\r\n';
  const attached = async (to: NetConnectOpts): Promise<Caller> => {
    const socket = await connected(to);
    return { served: Promise.resolve(), close: () => socket.destroy() };
  };

  const PASSED: Readonly<Record<string, (port: number) => Activated>> = {
    'ws:': (port) => ({
      fd: listenTcp('127.0.0.1', port),
      args: ['--listen', `ws:127.0.0.1:${port}`],
      call: async () => {
        const client = new WebSocket(`ws://127.0.0.1:${port}`);
        return { served: once(client, 'open'), close: () => client.terminate() };
      },
    }),
    'ws: of IPv6': (port) => ({
      fd: listenTcp('::', port),
      args: ['--listen', `ws:[0::0]:${port}`],
      call: async () => {
        const client = new WebSocket(`ws://127.0.0.1:${port}`);
        return { served: once(client, 'open'), close: () => client.terminate() };
      },
    }),
    'qemu: of TCP': (port) => ({
      fd: listenTcp('127.0.0.1', port),
      args: ['--listen', `qemu:127.0.0.1:${port}`],
      call: () => attached({ host: '127.0.0.1', port }),
    }),
    'vhost-user:': () => ({
      fd: listenUnix(place.path('vu.sock')),
      path: place.path('vu.sock'),
      says: /is ready/, // the guest is there when its driver has started the queues
      args: ['--listen', `vhost-user:${place.path('vu.sock')}`],
      call: async () => {
        const machine = await SocketFrontend.connect(place.path('vu.sock'));
        machine.send(GET_FEATURES);
        return { served: machine.reply(), close: () => machine.socket.destroy() };
      },
    }),
    'fd-socket:': () => ({
      fd: listenUnix(place.path('fd.sock')),
      path: place.path('fd.sock'),
      args: ['--listen', `fd-socket:${place.path('fd.sock')}`],
      call: async () => {
        const posix = loadPosix();
        const [ours, theirs] = posix.socketPair('dgram');
        const machine = await SocketFrontend.connect(place.path('fd.sock'));
        posix.sendFd(machine.fd, theirs);
        posix.close(theirs);
        const client = new MessageClient(ours);
        assert.equal(client.send(frameOf(1)), 'ok');
        machine.socket.resume();
        const served = once(machine.socket, 'close');
        return { served, close: () => client.close() };
      },
    }),
    'the API over TCP': (port) => {
      const token = place.path('token');
      writeFileSync(token, 'a-secret-of-this-test', { mode: 0o600 });
      return {
        fd: listenTcp('127.0.0.1', port),
        says: /is ready/,
        args: ['--api', `tcp:127.0.0.1:${port}`, '--api-token-file', token],
        call: async () => answered(await connected({ host: '127.0.0.1', port }), REQUEST),
      };
    },
  };
  for (const [what, open] of Object.entries(PASSED)) {
    it(`${what} serves who connected before the daemon was there, and again over its restart`, async () => {
      const passed = open(await freePort());
      const { fd, args, path, says = /guest link up/ } = passed;
      for (let starts = 1; starts <= 2; starts++) {
        const caller = await passed.call();
        const daemon = activated([fd], args);
        await Promise.all([daemon.says(says), caller.served]);
        caller.close();
        daemon.child.kill();
        assert.equal((await daemon.ended).status, 0, daemon.stderr);
        if (path !== undefined) assert.ok(existsSync(path));
      }
      closeSync(fd);
    });
  }

  it('a link of the multiplexer is served on a socket that was passed', async () => {
    const path = place.path('mux.sock');
    const fd = listenUnix(path);
    const agent = place.hawser(['agent', '--connect', `unix:${path}`]);
    for (let starts = 1; starts <= 2; starts++) {
      const daemon = activated([fd], ['--mux', `unix:${path}`]);
      await daemon.says(/multiplexer up/);
      daemon.child.kill();
      assert.equal((await daemon.ended).status, 0);
      assert.ok(existsSync(path));
    }
    agent.child.kill();
    await agent.ended;
    closeSync(fd);
  });

  it('one of TCP that no option names is bad usage; one of neither kind is refused', async () => {
    const port = await freePort();
    const fd = listenTcp('::', port);
    const other = activated([fd], ['--listen', `ws:127.0.0.1:${port}`]);
    assert.equal((await other.ended).status, 2);
    assert.match(other.stderr, new RegExp(`LISTEN_FDS passes \\[::\\]:${port}: name it by`));
    closeSync(fd);
    const [one, two] = loadPosix().socketPair('dgram');
    const nameless = activated([one], []);
    assert.equal((await nameless.ended).status, 1);
    assert.match(
      nameless.stderr,
      /neither a Unix socket with a path nor a TCP socket that listens/,
    );
    closeSync(one);
    closeSync(two);
  });

  it('one that no option names is bad usage', async () => {
    const path = place.path('other.sock');
    const daemon = activated([await listenAt(path)], []);
    assert.equal((await daemon.ended).status, 2);
    assert.match(daemon.stderr, /LISTEN_FDS passes .*other\.sock: name it by --listen/);
  });

  it('sockets for another process are not taken', async () => {
    const path = place.path('q.sock');
    const fd = await listenAt(path);
    const daemon = place.hawser(['run', '-l', `qemu:${path}`], {
      env: { LISTEN_FDS: '1', LISTEN_PID: '1' },
      stdio: ['ignore', 'pipe', 'pipe', fd],
    });
    assert.equal((await daemon.ended).status, 1);
    assert.match(daemon.stderr, /in use by another process/);
  });
});

describe('contrib', () => {
  itNeeding('the systemd units are understood, and rated well', ['systemd-analyze'], () => {
    const analyze = (...args: string[]) =>
      spawnSync('systemd-analyze', args, { encoding: 'utf8', cwd: CONTRIB });
    const units = [join(CONTRIB, 'hawser.socket'), join(CONTRIB, 'hawser.service')];
    const verified = analyze('verify', '--man=no', ...units);
    const complaints = verified.stderr.split('\n').filter((line) => line.includes('hawser.s'));
    assert.deepEqual(complaints, []);
    const rated = analyze('security', '--offline=true', '--threshold=30', units[1] ?? '');
    assert.equal(rated.status, 0, rated.stdout);
  });
});
