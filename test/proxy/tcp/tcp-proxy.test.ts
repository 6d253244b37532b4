import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { Counters } from '../../../src/base/counters.ts';
import { Budget } from '../../../src/base/shares/budget.ts';
import type { Loopback } from '../../../src/proxy/flows/destination.ts';
import type { FlowBook } from '../../../src/proxy/flows/flow-book.ts';
import { refusalOf, TcpProxy, type TcpProxyCount } from '../../../src/proxy/tcp/tcp-proxy.ts';
import type { RefuseReason, TcpRequest } from '../../../src/stack/flow.ts';
import { freePort } from '../../support/free-port.ts';
import { itNeeding } from '../../support/requirements.ts';
import {
  flowBook,
  GUEST,
  HOST,
  OWNER,
  RecordingDownstream,
  SOCKETS,
  TestClock,
} from '../recording.ts';

const REFUSALS = [
  ['ECONNREFUSED', '::1', 'refused'],
  ['ENETUNREACH', '2001:db8::1', 'net-unreachable'],
  ['EAFNOSUPPORT', '2001:db8::1', 'net-unreachable'],
  ['EADDRNOTAVAIL', '2001:db8::1', 'net-unreachable'],
  ['EADDRNOTAVAIL', '192.0.2.1', 'host-unreachable'],
  ['EHOSTUNREACH', '2001:db8::1', 'host-unreachable'],
  ['EACCES', '2001:db8::1', 'prohibited'],
  ['ETIMEDOUT', '2001:db8::1', 'timed-out'],
] as const;

/** A guest's SYN, and what became of it. */
class Request implements TcpRequest {
  readonly id;
  readonly owner = OWNER;
  onCancelled: (() => void) | undefined = undefined;
  outcome: 'accepted' | RefuseReason | undefined = undefined;

  constructor(remotePort: number) {
    this.id = { guest: GUEST, guestPort: 4000, remote: HOST, remotePort };
  }

  accept(): undefined {
    this.outcome = 'accepted';
  }

  refuse(_now: number, reason: RefuseReason): void {
    this.outcome = reason;
  }
}

describe('proxy/tcp', () => {
  let servers: Server[] = [];
  let counts: Counters<TcpProxyCount>;
  let proxy: TcpProxy;
  let book: FlowBook;

  beforeEach(() => {
    counts = new Counters();
    const down = new RecordingDownstream();
    const context = { clock: new TestClock(), flusher: { schedule: (): void => down.flush() } };
    book = flowBook();
    proxy = new TcpProxy(context, down, counts, SOCKETS, book);
  });
  afterEach(() => {
    for (const server of servers) server.close();
    servers = [];
  });

  const listen = async (
    address: string,
    port = 0,
  ): Promise<{ port: number; clients: string[] }> => {
    const clients: string[] = [];
    const server = createServer((socket) => {
      clients.push(socket.remoteAddress ?? '');
      socket.on('error', () => {});
      socket.destroy();
    });
    servers.push(server.listen({ port, host: address, ipv6Only: true }));
    await once(server, 'listening');
    const bound = server.address();
    assert.ok(typeof bound === 'object' && bound !== null);
    return { port: bound.port, clients };
  };
  const open = async (
    address: Loopback,
    twin: Loopback | undefined,
    port: number,
  ): Promise<string> => {
    const request = new Request(port);
    proxy.open(request, { kind: 'host-loopback', address, twin });
    assert.equal(book.record(book.after(0, 1)[0] ?? assert.fail()).facts.dialled, address);
    const deadline = Date.now() + 10_000;
    while (request.outcome === undefined) {
      assert.ok(Date.now() < deadline, 'neither accepted nor refused');
      await new Promise((resolve) => setImmediate(resolve));
    }
    return request.outcome;
  };

  const PAIRS = [
    ['127.0.0.1', '::1'],
    ['::1', '127.0.0.1'],
  ] as const;
  for (const [address, twin] of PAIRS) {
    itNeeding(
      `${address} where somebody listens there, whoever listens at ${twin}`,
      ['ipv6'],
      async () => {
        const { port, clients } = await listen(address);
        const other = await listen(twin, port);
        assert.equal(await open(address, twin, port), 'accepted');
        assert.deepEqual([clients, other.clients], [[address], []]);
      },
    );

    itNeeding(`${twin} where nobody listens at ${address}`, ['ipv6'], async () => {
      const { port, clients } = await listen(twin);
      assert.equal(await open(address, twin, port), 'accepted');
      assert.deepEqual(clients, [twin]);
      assert.equal(counts.get('refused'), 0);
    });

    itNeeding(`never ${twin} where that is closed to guests`, ['ipv6'], async () => {
      const { port, clients } = await listen(twin);
      assert.equal(await open(address, undefined, port), 'refused');
      assert.deepEqual(clients, []);
    });
  }

  itNeeding('nobody at either: one refusal', ['ipv6'], async () => {
    assert.equal(await open('::1', '127.0.0.1', await freePort()), 'refused');
    assert.equal(counts.get('refused'), 1);
  });

  it('beyond its share of descriptors a guest is told at once, as where the system has none', async () => {
    const context = { clock: new TestClock(), flusher: { schedule: (): void => {} } };
    const few = new Budget('sockets', 1);
    proxy = new TcpProxy(context, new RecordingDownstream(), counts, few, book);
    const { port } = await listen('127.0.0.1');
    const to = { kind: 'host-loopback', address: '127.0.0.1', twin: undefined } as const;
    const [first, second, third] = [new Request(port), new Request(port), new Request(port)];
    proxy.open(first, to);
    proxy.open(second, to);
    proxy.accept(third, { accept: () => assert.fail('no socket is left') });
    assert.equal(second.outcome, refusalOf('EMFILE', '127.0.0.1'));
    assert.equal(third.outcome, second.outcome);
    assert.equal(second.outcome, 'host-unreachable');
    assert.equal(counts.get('no-socket'), 2);
    while (first.outcome === undefined) await new Promise((resolve) => setImmediate(resolve));
  });

  it('a code of the system and what the guest gets: no route where the host lacks the family', () => {
    for (const [code, address, reason] of REFUSALS) {
      assert.equal(refusalOf(code, address), reason, `${code} ${address}`);
    }
  });
});
