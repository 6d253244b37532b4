import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Server } from 'node:net';
import type { PublishedListener } from '../../../src/proxy/ports/agent-carrier.ts';
import { LOOPBACK4, LOOPBACK6, listenOnLoopbacks } from '../../../src/proxy/ports/loopback-pair.ts';
import type { PortTable } from '../../../src/proxy/ports/port-table.ts';
import { type PortSpec, PublishError } from '../../../src/proxy/ports/publish-spec.ts';
import { itNeeding } from '../../support/requirements.ts';
import { portTable } from './port-fixture.ts';

const spec = (protocol: 'tcp' | 'udp', hostPort = 0): PortSpec => ({
  protocol,
  hostAddress: 'localhost',
  hostPort,
  guestAddress: undefined,
  guestPort: 80,
});

class FakeListener implements PublishedListener {
  readonly hostPort: number;
  active = 1;
  stopped = false;

  constructor(hostPort: number) {
    this.hostPort = hostPort;
  }

  isAt(): boolean {
    return false;
  }

  stop(): void {
    this.stopped = true;
  }
}

describe('proxy/ports/loopback-pair', () => {
  let table: PortTable;
  const servers: Server[] = [];

  beforeEach(() => {
    table = portTable();
  });
  afterEach(() => {
    table.close();
    for (const server of servers.splice(0)) server.close();
  });

  const codeOf = (host: string, port: number): Promise<unknown> =>
    new Promise((resolve) => {
      connect(port, host).once('error', (error) => resolve(Reflect.get(error, 'code')));
    });
  const taken = async (host: string): Promise<number> => {
    const server = createServer();
    servers.push(server);
    server.listen({ host, port: 0, ipv6Only: true });
    await once(server, 'listening');
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  };

  itNeeding('one number on both loopbacks, and on no other address, TCP', ['ipv6'], async () => {
    const port = await table.publish(spec('tcp'), 'api');
    assert.ok(port.protocol !== 'unix' && port.hostPort > 0);
    for (const host of ['127.0.0.1', '::1']) {
      assert.equal(await codeOf(host, port.hostPort), 'ECONNRESET'); // nobody serves it
    }
    assert.equal(await codeOf('127.0.0.2', port.hostPort), 'ECONNREFUSED');
    table.unpublish(port.id);
    for (const host of ['127.0.0.1', '::1']) {
      assert.equal(await codeOf(host, port.hostPort), 'ECONNREFUSED');
    }
  });

  itNeeding(
    'one number on both loopbacks, UDP, beside a TCP port of the same number',
    ['ipv6'],
    async () => {
      const tcp = await table.publish(spec('tcp'), 'api');
      assert.ok(tcp.protocol !== 'unix');
      const udp = await table.publish(spec('udp', tcp.hostPort), 'api');
      assert.ok(udp.protocol !== 'unix' && udp.hostPort === tcp.hostPort);
      for (const hostAddress of [LOOPBACK4, LOOPBACK6]) {
        const again = table.publish({ ...spec('udp', udp.hostPort), hostAddress }, 'api');
        await assert.rejects(again, { code: 'EADDRINUSE' });
      }
    },
  );

  for (const host of ['127.0.0.1', '::1']) {
    itNeeding(`a port in use on ${host} alone is taken on neither`, ['ipv6'], async () => {
      const hostPort = await taken(host);
      await assert.rejects(table.publish(spec('tcp', hostPort), 'api'), { code: 'EADDRINUSE' });
      const other = host === '::1' ? '127.0.0.1' : '::1';
      assert.equal(await codeOf(other, hostPort), 'ECONNREFUSED');
      assert.deepEqual(table.list(), []);
    });
  }

  for (const [code, absent] of [
    ['EADDRNOTAVAIL', '::1'],
    ['EAFNOSUPPORT', '::1'],
    ['EADDRNOTAVAIL', '127.0.0.1'],
  ] as const) {
    it(`a host without ${absent} (${code}) has the other`, async () => {
      const pair = await listenOnLoopbacks(spec('tcp'), async ({ hostAddress, hostPort }) => {
        if (`${hostAddress}` === absent) throw new PublishError(code, 'no such address');
        return new FakeListener(hostPort === 0 ? 4711 : hostPort);
      });
      assert.equal(`${pair.only}`, absent === '::1' ? '127.0.0.1' : '::1');
      assert.deepEqual([pair.hostPort, pair.active], [4711, 1]);
    });
  }

  it('a host with neither says why', async () => {
    const none = listenOnLoopbacks(spec('tcp'), async () => {
      throw new PublishError('EADDRNOTAVAIL', 'no such address');
    });
    await assert.rejects(none, { code: 'EADDRNOTAVAIL' });
  });

  it('a number picked for one that is in use in the other is picked anew, and given back', async () => {
    const made: FakeListener[] = [];
    const pair = await listenOnLoopbacks(spec('udp'), async ({ hostAddress, hostPort }) => {
      if (`${hostAddress}` === '::1' && hostPort < 4003)
        throw new PublishError('EADDRINUSE', 'used');
      const listener = new FakeListener(hostPort === 0 ? 4000 + made.length : hostPort);
      made.push(listener);
      return listener;
    });
    assert.equal(pair.hostPort, 4003);
    assert.deepEqual(
      made.map(({ stopped }) => stopped),
      [true, true, true, false, false],
    );
    pair.stop();
    assert.ok(made.slice(3).every(({ stopped }) => stopped));
  });

  it('gives up after sixteen picks', async () => {
    let picks = 0;
    const never = listenOnLoopbacks(spec('tcp'), async ({ hostAddress }) => {
      if (`${hostAddress}` === '::1') throw new PublishError('EADDRINUSE', 'used');
      picks++;
      return new FakeListener(picks);
    });
    await assert.rejects(never, { code: 'EADDRINUSE' });
    assert.equal(picks, 16);
  });
});
