import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { ProcBoundSockets } from '../../src/cli/agent/listening/proc-bound-sockets.ts';
import { loadPosix } from '../../src/native/load.ts';
import type { BoundSocket, BoundSockets } from '../../src/native/posix.ts';
import { watchSocketEnds } from '../../src/native/socket-ends.ts';

import { describeNeeding, itNeeding } from '../support/requirements.ts';

const SOURCES: readonly (readonly [string, (withUdp: boolean) => BoundSockets])[] = [
  ['sock_diag', (withUdp) => loadPosix().openBoundSockets(withUdp)],
  ['/proc', (withUdp) => new ProcBoundSockets(withUdp)],
];

for (const [name, open] of SOURCES) {
  describeNeeding(`native: sockets that listen, by ${name}`, ['koffi', 'linux'], () => {
    let source: BoundSockets;
    const servers: Server[] = [];
    const listen = async (options: object): Promise<number> => {
      const server = createServer();
      servers.push(server);
      server.listen({ port: 0, ...options });
      await once(server, 'listening');
      const address = server.address();
      return typeof address === 'object' && address !== null ? address.port : 0;
    };
    const all = (): readonly BoundSocket[] => {
      const read = source.read();
      assert.ok(read !== undefined && read !== 'same');
      return read;
    };
    const at = (port: number): string[] =>
      all().flatMap((one) =>
        one.port === port ? [`${one.protocol} ${one.address} ${one.v6Only}`] : [],
      );

    beforeEach(() => {
      source = open(true);
    });
    afterEach(() => {
      source.close();
      for (const server of servers.splice(0)) server.close();
    });

    it('an address of IPv4', async () => {
      const port = await listen({ host: '127.0.0.1' });
      assert.deepEqual(at(port), ['tcp 127.0.0.1 false']);
    });

    itNeeding('every address of both families, and of IPv6 alone', ['ipv6'], async () => {
      const knows = name === 'sock_diag';
      const both = await listen({ host: '::' });
      const alone = await listen({ host: '::', ipv6Only: true });
      const loopback = await listen({ host: '::1' });
      const found = all();
      const v6Only = (port: number): unknown => found.find((one) => one.port === port)?.v6Only;
      const texts = [both, alone, loopback].map(
        (port) => found.find((one) => one.port === port)?.address.toString() ?? '',
      );
      assert.deepEqual(texts, ['::', '::', '::1']);
      assert.equal(v6Only(both), knows ? false : undefined);
      assert.equal(v6Only(alone), knows ? true : undefined);
    });

    it('UDP that is bound, and none that is connected', async () => {
      const bound = createSocket('udp4');
      const connected = createSocket('udp4');
      bound.bind(0, '127.0.0.1');
      await once(bound, 'listening');
      connected.connect(bound.address().port, '127.0.0.1');
      await once(connected, 'connect');
      const ports = all().flatMap(({ protocol, port }) => (protocol === 'udp' ? [port] : []));
      assert.ok(ports.includes(bound.address().port));
      assert.ok(!ports.includes(connected.address().port));
      bound.close();
      connected.close();
    });

    it('more than one read holds, each once', async () => {
      const ports: number[] = [];
      for (let i = 0; i < 700; i++) ports.push(await listen({ host: '127.0.0.1' }));
      const found = all().filter(({ protocol }) => protocol === 'tcp');
      const numbers = new Set(found.map(({ port }) => port));
      assert.deepEqual(
        ports.filter((port) => !numbers.has(port)),
        [],
      );
      assert.equal(new Set(found.map(({ inode }) => inode)).size, found.length);
    });

    it('is the same object as long as it is there', async () => {
      const port = await listen({ host: '127.0.0.1' });
      const before = all().find((one) => one.port === port);
      await listen({ host: '127.0.0.1' });
      assert.equal(
        all().find((one) => one.port === port),
        before,
      );
    });
  });
}

describeNeeding('native: sockets that end', ['koffi', 'linux'], () => {
  it('tells of a listener that is gone, and of no connection', async () => {
    const ended: number[] = [];
    const watch = watchSocketEnds(loadPosix(), (port) => ended.push(port));
    try {
      const server = createServer((socket) => socket.end());
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      const { connect } = await import('node:net');
      const client = connect(port, '127.0.0.1');
      await once(client, 'connect');
      const { localPort } = client;
      client.resume();
      client.end();
      await once(client, 'close');
      server.close();
      while (!ended.includes(port)) await new Promise(setImmediate);
      assert.equal(ended.filter((one) => one === port).length, 1);
      assert.ok(!ended.includes(localPort ?? 0));
    } finally {
      watch.close();
    }
  });
});
