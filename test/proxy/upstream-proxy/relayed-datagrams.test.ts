import assert from 'node:assert/strict';
import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { Budget } from '../../../src/base/shares/budget.ts';
import type { ProxyQuestion } from '../../../src/proxy/flows/proxied-destinations.ts';
import { ImmediateFlush } from '../../../src/proxy/flush-scheduler.ts';
import { HostLookup } from '../../../src/proxy/host-lookup.ts';
import { SendPool } from '../../../src/proxy/udp/send-pool.ts';
import { RelayedDatagrams } from '../../../src/proxy/upstream-proxy/relayed-datagrams.ts';
import type { ProxyServer } from '../../../src/services/upstream-proxy/proxy-server.ts';
import {
  readSocksDatagram,
  socksDatagramHeader,
} from '../../../src/services/upstream-proxy/socks5.ts';
import {
  addressMap,
  datagram,
  flowBook,
  ip,
  OWNER,
  RecordingDownstream,
  TestClock,
  until,
} from '../recording.ts';

const REMOTE = '192.0.2.1';

/** A proxy of SOCKS that relays datagrams to itself: what comes is in `got`. */
describe('proxy/upstream-proxy: datagrams that a proxy relays', () => {
  let control: Server;
  let relay: UdpSocket;
  let connections: Socket[];
  let got: { readonly text: string; readonly host: string; readonly from: RemoteInfo }[];
  let down: RecordingDownstream;
  let relays: RelayedDatagrams;
  let pool: SendPool;
  let clock: TestClock;
  let sockets: Budget;
  let server: ProxyServer;
  let reply: number;

  beforeEach(async () => {
    [connections, got, reply] = [[], [], 0];
    relay = createSocket('udp4');
    relay.bind(0, '127.0.0.1');
    await once(relay, 'listening');
    relay.on('message', (bytes, from) => {
      const place = readSocksDatagram(bytes);
      assert.ok(place !== undefined);
      got.push({ text: bytes.subarray(place.end).toString(), host: place.host, from });
    });
    control = createServer((socket) => {
      connections.push(socket);
      socket.on('error', () => {});
      let n = 0;
      socket.on('data', () => {
        n++;
        const { port } = relay.address();
        if (n === 1) socket.write(Buffer.from([5, 0]));
        else socket.write(Buffer.from([5, reply, 0, 1, 0, 0, 0, 0, port >> 8, port & 255]));
      });
    });
    control.listen(0, '127.0.0.1');
    await once(control, 'listening');
    const { port } = control.address() as AddressInfo;
    server = { scheme: 'socks5', host: '127.0.0.1', port, credentials: undefined };
    make();
  });
  const make = (entries = 16): void => {
    [down, pool, clock] = [new RecordingDownstream(), new SendPool(), new TestClock()];
    sockets = new Budget('sockets', 100);
    relays = new RelayedDatagrams({
      ...{ dial: { names: new HostLookup(), options: {} }, downstream: down, clock, pool, sockets },
      ...{ flush: new ImmediateFlush(() => {}), addresses: addressMap(), seed: 3 },
      ...{ book: flowBook(), onEnded: () => {} },
      limits: { entries, freshMs: 30_000, settledMs: 180_000 },
    });
  };
  afterEach(() => {
    relays.closeAll('test');
    assert.deepEqual([pool.lentBytes, sockets.held], [0, 0]);
    for (const socket of connections) socket.destroy();
    control.close();
    relay.close();
  });

  const question = (): ProxyQuestion => ({
    ...{ owner: OWNER, protocol: 'udp', remote: ip(REMOTE), port: 53, onDenied: () => {} },
    to: { kind: 'outside', address: REMOTE, isTranslated: false },
  });
  const send = (text: string, guestPort = 5000, remote = REMOTE, host = 'a.test'): void => {
    const one = datagram(guestPort, remote, 53, Buffer.from(text));
    if (!relays.onDatagram(clock.now(), one)) {
      relays.relay(clock.now(), one, server, host, question());
    }
  };
  const answer = (index: number, host: string, text: string): void => {
    const to = got[index]?.from;
    const header = socksDatagramHeader({ host, port: 53 });
    relay.send(Buffer.concat([header, Buffer.from(text)]), to?.port, to?.address);
  };

  it('have the name in front of them, those that came before the association too', async () => {
    for (const text of ['one', 'two', 'three']) send(text);
    await until(() => got.length === 3);
    send('four');
    await until(() => got.length === 4);
    assert.deepEqual(
      got.map(({ text, host }) => `${text} ${host}`),
      ['one a.test', 'two a.test', 'three a.test', 'four a.test'],
    );
    assert.deepEqual([connections.length, sockets.held], [1, 2]);
  });

  it('come back from the address that the guest knows, whatever the proxy calls it', async () => {
    send('one');
    send('two', 5000, '192.0.2.9', '192.0.2.9');
    await until(() => got.length === 2);
    answer(0, '203.0.113.7', 'by the address of the name');
    answer(0, 'a.test', 'by name');
    answer(0, '192.0.2.9', 'by address');
    await until(() => down.datagrams.length === 3);
    assert.deepEqual(
      down.datagrams.map(({ from }) => from),
      ['192.0.2.1:53', '192.0.2.1:53', '192.0.2.9:53'],
    );
  });

  it('that are odd are counted', async () => {
    send('one');
    await until(() => got.length === 1);
    const to = got[0]?.from;
    relay.send(Buffer.from([0, 0, 1, 1, 1, 1, 1, 1, 0, 53]), to?.port, to?.address);
    await until(() => relays.counts.get('odd-datagram') === 1);
  });

  it('end with the connection that asked for them', async () => {
    send('one');
    await until(() => got.length === 1);
    connections[0]?.end();
    await until(() => relays.size === 0);
    assert.equal(sockets.held, 0);
  });

  it('are answered by an error while the proxy refuses, and it is asked again after a while', async () => {
    reply = 7;
    send('one');
    await until(() => relays.counts.get('ended-by-proxy') === 1);
    send('two');
    assert.deepEqual(
      down.errors.map(({ error }) => error),
      ['port-unreachable'],
    );
    clock.time += 3_000;
    reply = 0;
    send('three');
    await until(() => got.length === 1);
    assert.equal(got[0]?.text, 'three');
  });

  it('end when they are idle, and beyond the limit the oldest', async () => {
    send('one');
    await until(() => got.length === 1);
    clock.time = relays.nextTimeout();
    relays.onTimeout(clock.now());
    assert.deepEqual([relays.size, relays.counts.get('expired')], [0, 1]);
    relays.closeAll('test');
    make(4);
    for (let port = 1; port <= 6; port++) send('x', port);
    assert.deepEqual([relays.size, relays.counts.get('evicted'), sockets.held], [4, 2, 8]);
  });

  it('wait for the proxy in a small number', async () => {
    for (let n = 0; n < 100; n++) send(`${n}`);
    await until(() => got.length === 16);
    assert.equal(got.at(-1)?.text, '15');
  });
});
