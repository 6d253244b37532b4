import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { SILENT } from '../../src/base/log.ts';
import { forwardTcp } from '../../src/cli/docker-proxy/tcp-forwarder.ts';
import { createApiServer } from '../../src/control/api-server.ts';
import { acceptStreams } from '../../src/native/stream/accept-streams.ts';
import { STREAM_BINDINGS } from '../../src/native/stream/bindings.ts';
import type { HostStream } from '../../src/native/stream/host-stream.ts';
import { KEEPALIVE_DEFAULT_S } from '../../src/native/stream/keepalive-options.ts';
import { openServer } from '../../src/transports/stream-server.ts';
import { describeNeeding } from '../support/requirements.ts';
import { socketTimer } from '../support/socket-timer.ts';

const portOf = (server: { address(): AddressInfo | string | null }): number => {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
};

describeNeeding('keepalive of host sockets', ['linux'], () => {
  const ends: (() => void)[] = [];
  afterEach(() => {
    for (const end of ends.splice(0)) end();
  });

  async function client(port: number): Promise<Socket> {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    ends.push(() => socket.destroy());
    await once(socket, 'connect');
    return socket;
  }

  async function isProbed(localPort: number, remotePort: number, idleS: number): Promise<void> {
    for (;;) {
      const found = socketTimer(localPort, remotePort);
      // Before it, the handshake's timer may still be there.
      if (found?.timer === 'keepalive') {
        assert.ok(found.dueS > idleS - 2 && found.dueS <= idleS, `due in ${found.dueS} s`);
        return;
      }
      await new Promise(setImmediate);
    }
  }

  for (const [over, bindings] of [
    ['handles', STREAM_BINDINGS],
    ['net.Socket', null],
  ] as const) {
    async function listen(keepaliveS: number): Promise<{ server: Server; streams: HostStream[] }> {
      const server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
      const streams: HostStream[] = [];
      ends.push(() => {
        server.close();
        for (const stream of streams) stream.close();
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const onStream = (stream: HostStream): void => {
        streams.push(stream);
      };
      acceptStreams(server, { onStream, onFailed: () => {} }, { keepaliveS, bindings });
      return { server, streams };
    }

    it(`what is accepted as ${over} is probed after the idle time`, async () => {
      const { server } = await listen(33);
      const port = portOf(server);
      for (let i = 0; i < 2; i++) {
        const socket = await client(port);
        await isProbed(port, socket.localPort ?? 0, 33);
      }
    });

    it(`what is accepted as ${over} is not probed where that is off`, async () => {
      const { server, streams } = await listen(0);
      const port = portOf(server);
      const socket = await client(port);
      while (streams.length === 0) await new Promise(setImmediate);
      assert.equal(socketTimer(port, socket.localPort ?? 0)?.timer, 'none');
    });
  }

  it('so are sockets of links', async () => {
    const accepted: Socket[] = [];
    const server = await openServer({ host: '127.0.0.1', port: 0 }, 0o600, (socket) => {
      accepted.push(socket);
    });
    ends.push(() => {
      server.close();
      for (const socket of accepted) socket.destroy();
    });
    const socket = await client(portOf(server));
    await isProbed(portOf(server), socket.localPort ?? 0, KEEPALIVE_DEFAULT_S);
  });

  it('so are connections to the control API', async () => {
    const { server } = createApiServer(
      {
        routes: [],
        version: '1',
        refusal: () => undefined,
        target: () => assert.fail('nobody asks'),
      },
      SILENT,
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    ends.push(() => {
      server.close();
      server.closeAllConnections();
    });
    const port = portOf(server);
    const socket = await client(port);
    await isProbed(port, socket.localPort ?? 0, KEEPALIVE_DEFAULT_S);
  });

  it("so are both of Docker's proxy", async () => {
    const container = createServer();
    container.listen(0, '127.0.0.1');
    await once(container, 'listening');
    ends.push(() => container.close());
    const containerPort = portOf(container);
    const dialled = once(container, 'connection');
    const front = await forwardTcp(
      { address: '127.0.0.1', port: 0 },
      { address: '127.0.0.1', port: containerPort },
    );
    ends.push(() => front.close());
    const socket = await client(front.port);
    await isProbed(front.port, socket.localPort ?? 0, KEEPALIVE_DEFAULT_S);
    const [accepted]: Socket[] = await dialled;
    await isProbed(accepted?.remotePort ?? 0, containerPort, KEEPALIVE_DEFAULT_S);
  });
});
