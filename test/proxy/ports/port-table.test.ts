import assert from 'node:assert/strict';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { connect, createServer, type Socket } from 'node:net';
import { KEY_GUEST, setKeyAddress, setKeyPorts } from '../../../src/base/flow-key.ts';
import type { IpAddress } from '../../../src/base/ip-address.ts';
import { loadPosix } from '../../../src/native/load.ts';
import type { AgentCarrier } from '../../../src/proxy/ports/agent-carrier.ts';
import type { PortTable, PortTableOptions } from '../../../src/proxy/ports/port-table.ts';
import { type PortSpec, PublishError } from '../../../src/proxy/ports/publish-spec.ts';
import { parsePublish } from '../../../src/proxy/ports/publish-text.ts';
import type { ServeTcp } from '../../../src/proxy/ports/stream-listener.ts';
import {
  UDP_PUBLISHER_DEFAULTS,
  UdpPublisher,
  type UdpPublisherOptions,
} from '../../../src/proxy/ports/udp-publisher.ts';
import type { PublishedClient } from '../../../src/proxy/tcp/guest-dial.ts';
import { Outboxes } from '../../../src/proxy/udp/outbox.ts';
import { SendPool } from '../../../src/proxy/udp/send-pool.ts';
import type { Datagram, FlowId } from '../../../src/stack/flow.ts';
import { itNeeding } from '../../support/requirements.ts';
import { answerAndEnd } from '../../support/stream-owner.ts';
import { testGuest } from '../../support/test-guest.ts';
import {
  addressMap,
  datagram,
  flowBook,
  GUEST,
  GUEST6,
  ip,
  OWNER,
  RecordingDownstream,
  SOCKETS,
  TestClock,
  until,
} from '../recording.ts';
import { fixedGuests, portTable } from './port-fixture.ts';

const HOST = '192.168.127.254';

function one(text: string): PortSpec {
  const [spec] = parsePublish(text);
  assert.ok(spec !== undefined && spec.protocol !== 'unix');
  return spec;
}

const idsOf = ({
  ends,
  guestPort,
  clientPort,
}: Pick<PublishedClient, 'ends' | 'guestPort' | 'clientPort'>): FlowId[] =>
  ends.map((end) => ({ ...end, guestPort, remotePort: clientPort }));
const text = (id: FlowId): string => `${id.remote}:${id.remotePort} > ${id.guest}:${id.guestPort}`;

describe('proxy/ports', () => {
  let down: RecordingDownstream;
  let udp: UdpPublisher;
  let outboxes: Outboxes;
  let tables: PortTable[];
  let clients: UdpSocket[];
  let pool: SendPool;
  let guest: IpAddress | undefined;
  /** Its other addresses. */
  let more: readonly IpAddress[];

  beforeEach(() => {
    down = new RecordingDownstream();
    tables = [];
    clients = [];
    pool = new SendPool();
    outboxes = new Outboxes(() => loadPosix().makeDatagramBatch());
    guest = GUEST;
    more = [];
  });
  afterEach(() => {
    for (const table of tables) table.close();
    for (const client of clients) client.close();
  });

  const make = (
    serve: ServeTcp = () => false,
    options?: Partial<PortTableOptions>,
    udpOptions: Partial<UdpPublisherOptions> = {},
  ): PortTable => {
    const addresses = addressMap();
    const flush = { schedule: (): void => down.flush() };
    const guests = fixedGuests(
      () => guest,
      () => more,
    );
    udp = new UdpPublisher(
      {
        downstream: down,
        clock: new TestClock(),
        flush,
        addresses,
        pool,
        outboxes,
        native: { posix: undefined },
        sockets: SOCKETS,
        book: flowBook(),
        seed: 9,
      },
      { ...UDP_PUBLISHER_DEFAULTS, ...udpOptions },
    );
    const table = portTable({ serve, udp, guests }, options);
    tables.push(table);
    return table;
  };

  /** A guest's datagram in a batch of its own. @returns whether it was for a client */
  const answer = (sent: Datagram): boolean => {
    const taken = udp.onDatagram(0, sent);
    outboxes.flush();
    return taken;
  };

  const publish = async (
    table: PortTable,
    spec: string,
  ): Promise<{ id: string; hostPort: number }> => {
    const port = await table.publish(one(spec), 'config');
    assert.ok(port.protocol !== 'unix');
    return port;
  };

  const udpClient = async (address = '127.0.0.1', port = 0): Promise<UdpSocket> => {
    const socket = createSocket('udp4');
    await new Promise<void>((resolve) => socket.bind(port, address, resolve));
    clients.push(socket);
    return socket;
  };

  const closed = (socket: Socket): Promise<string> =>
    new Promise((resolve) => {
      let code = 'end';
      socket.on('error', (error) => {
        code = 'code' in error ? String(error.code) : error.message;
      });
      socket.on('close', () => resolve(code));
    });

  it('TCP: hands the client to the pump, as a flow from the host address', async () => {
    const served: FlowId[] = [];
    const table = make(({ stream, onEnd, ...client }) => {
      served.push(...idsOf(client));
      answerAndEnd(stream, 'from the guest', onEnd);
      return true;
    });
    const port = await publish(table, '0:80');
    assert.ok(port.hostPort > 0, 'the picked port is reported');
    const socket = connect(port.hostPort, '127.0.0.1');
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    await new Promise((resolve) => socket.on('connect', resolve));
    const source = socket.localPort;
    await closed(socket);
    assert.equal(Buffer.concat(chunks).toString(), 'from the guest');
    assert.deepEqual(served.map(text), [`${HOST}:${source} > 192.168.127.2:80`]);
    await until(() => table.list()[0]?.active === 0);
  });

  it('TCP: a client is reset when no flow can be had, and while there is no guest', async () => {
    const table = make(() => false);
    const { hostPort } = await publish(table, '0:80');
    assert.equal(await closed(connect(hostPort, '127.0.0.1')), 'ECONNRESET');
    guest = undefined;
    assert.equal(await closed(connect(hostPort, '127.0.0.1')), 'ECONNRESET');
    assert.equal(table.list()[0]?.active, 0);
  });

  it('TCP: a withdrawn port refuses, and can be published again at once', async () => {
    const table = make();
    const first = await publish(table, '0:80');
    assert.equal(table.unpublish(first.id), true);
    assert.equal(table.unpublish(first.id), false);
    assert.equal(await closed(connect(first.hostPort, '127.0.0.1')), 'ECONNREFUSED');
    const again = await publish(table, `${first.hostPort}:80`);
    assert.equal(again.hostPort, first.hostPort);
  });

  it('a port in use, a foreign address and the limit are errors in words', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    const socket = await udpClient();
    const table = make(undefined, { ports: 1, kept: 0, connections: 10 });
    for (const [spec, code, words] of [
      [`${address.port}:80`, 'EADDRINUSE', /127\.0\.0\.1:\d+\/tcp.*listens there already/],
      [`${socket.address().port}:80/udp`, 'EADDRINUSE', /127\.0\.0\.1:\d+\/udp.*listens there/],
      ['192.0.2.1:0:80', 'EADDRNOTAVAIL', /no such address/],
      ['192.0.2.1:0:80/udp', 'EADDRNOTAVAIL', /no such address/],
    ] as const) {
      await assert.rejects(publish(table, spec), (error) => {
        assert.ok(error instanceof PublishError);
        assert.equal(error.code, code);
        assert.match(error.message, words);
        return true;
      });
    }
    await publish(table, '0:80');
    await assert.rejects(publish(table, '0:81'), { code: 'ERR_HAWSER_PUBLISH_LIMIT' });
    server.close();
  });

  it('TCP: the PROXY protocol goes to whoever serves, before anything of the client', async () => {
    const prefaces: string[] = [];
    const table = make(({ stream, preface, onEnd }) => {
      prefaces.push(Buffer.from(preface ?? []).toString());
      answerAndEnd(stream, '', onEnd);
      return true;
    });
    const port = await table.publish({ ...one('0:80'), proxyProtocol: 'v1' }, 'api');
    assert.ok(port.protocol !== 'unix');
    const socket = connect(port.hostPort, '127.0.0.1');
    await new Promise((resolve) => socket.on('connect', resolve));
    const { localPort } = socket;
    await closed(socket);
    assert.deepEqual(prefaces, [
      `PROXY TCP4 127.0.0.1 127.0.0.1 ${localPort} ${port.hostPort}\r\n`,
    ]);
  });

  it('TCP: connections of one port are bounded, the next is reset', async () => {
    const ends: (() => void)[] = [];
    const table = make(
      ({ onEnd }) => {
        ends.push(onEnd);
        return true;
      },
      { connections: 1 },
    );
    const { hostPort } = await publish(table, '0:80');
    const kept = connect(hostPort, '127.0.0.1');
    await until(() => ends.length === 1);
    assert.equal(await closed(connect(hostPort, '127.0.0.1')), 'ECONNRESET');
    ends[0]?.();
    const next = connect(hostPort, '127.0.0.1');
    await until(() => ends.length === 2);
    kept.destroy();
    next.destroy();
  });

  itNeeding('every address of both families on one socket, TCP and UDP', ['ipv6'], async () => {
    const sources: string[] = [];
    const table = make(({ stream, ends, onEnd }) => {
      sources.push(`${ends[0]?.remote}`);
      answerAndEnd(stream, '', onEnd);
      return true;
    });
    const tcp = await table.publish({ ...one('0:80'), hostAddress: undefined }, 'api');
    const both = await table.publish({ ...one('0:53/udp'), hostAddress: undefined }, 'api');
    assert.ok(tcp.protocol !== 'unix' && both.protocol !== 'unix');
    for (const address of ['127.0.0.1', '::1']) await closed(connect(tcp.hostPort, address));
    assert.deepEqual(sources, [HOST, HOST]);
    const client = await udpClient();
    const got: string[] = [];
    client.on('message', (bytes, from) => got.push(`${bytes} from ${from.address}`));
    client.send('x', both.hostPort, '127.0.0.1');
    await until(() => down.datagrams.length === 1);
    answer(datagram(53, HOST, client.address().port, Buffer.from('y')));
    await until(() => got.length === 1);
    assert.deepEqual(got, ['y from 127.0.0.1']);
  });

  it('what needs the agent is handed to it, or refused without one', async () => {
    const spec = { ...one('0:80'), via: 'mux', guestAddress: undefined } as const;
    await assert.rejects(make().publish(spec, 'api'), { code: 'ERR_HAWSER_PUBLISH_NO_AGENT' });
    const asked: unknown[] = [];
    const agent: AgentCarrier = {
      serve: (stream, target, client, preface, onEnd) => {
        asked.push([target, `${client?.address}`, preface]);
        answerAndEnd(stream, '', onEnd);
        return true;
      },
      listenUdp: () => ({
        hostPort: 5353,
        active: 2,
        isAt: () => false,
        stop: () => asked.push('stopped'),
      }),
    };
    const table = portTable({ agent: { ...agent, of: () => assert.fail('of all links') } });
    tables.push(table);
    const port = await table.publish(spec, 'api');
    assert.ok(port.protocol !== 'unix');
    await closed(connect(port.hostPort, '127.0.0.1'));
    assert.deepEqual(asked, [
      [{ kind: 'port', address: undefined, port: 80 }, '127.0.0.1', undefined],
    ]);
    const behind = one('53:53/udp');
    const container = await table.publish({ ...behind, guestAddress: ip('172.17.0.2') }, 'api');
    assert.equal(container.useAgent, true);
    assert.equal(container.active, 4); // of both loopbacks
    table.unpublish(container.id);
    assert.equal(asked.at(-1), 'stopped');
  });

  it('UDP: client to guest and back, from the published port', async () => {
    const table = make();
    const { hostPort } = await publish(table, '0:53/udp');
    const client = await udpClient();
    const source = client.address().port;
    const got: string[] = [];
    client.on('message', (bytes, from) => got.push(`${bytes} from ${from.port}`));
    client.send('question', hostPort, '127.0.0.1');
    await until(() => down.datagrams.length > 0);
    assert.deepEqual(down.datagrams, [
      { from: `${HOST}:${source}`, to: '192.168.127.2:53', bytes: Buffer.from('question') },
    ]);
    assert.equal(answer(datagram(53, HOST, source, Buffer.from('answer'))), true);
    await until(() => got.length > 0);
    assert.deepEqual(got, [`answer from ${hostPort}`]);
    assert.equal(table.list()[0]?.active, 1);
    await until(() => pool.lentBytes === 0);
  });

  it('UDP: opens no TCP port, and TCP no UDP port', async () => {
    const table = make();
    const { hostPort } = await publish(table, '0:53/udp');
    assert.equal(await closed(connect(hostPort, '127.0.0.1')), 'ECONNREFUSED');
    const tcp = await publish(table, '0:53/tcp');
    await udpClient('127.0.0.1', tcp.hostPort); // free to be bound
  });

  it('UDP: 65,507 bytes each way', async () => {
    const table = make();
    const { hostPort } = await publish(table, '0:53/udp');
    const client = await udpClient();
    const payload = Buffer.alloc(65_507, 'abcdefg');
    let got = Buffer.alloc(0);
    client.on('message', (bytes) => {
      got = bytes;
    });
    client.send(payload, hostPort, '127.0.0.1');
    await until(() => down.datagrams.length > 0);
    assert.ok(down.datagrams[0]?.bytes.equals(payload));
    answer(datagram(53, HOST, client.address().port, payload));
    await until(() => got.length > 0);
    assert.ok(got.equals(payload));
  });

  it("UDP: the guest's own traffic is not ours", async () => {
    const table = make();
    const { hostPort } = await publish(table, '0:53/udp');
    assert.equal(answer(datagram(53, HOST, 1234, Buffer.from('x'))), false);
    const client = await udpClient();
    client.send('x', hostPort, '127.0.0.1');
    await until(() => down.datagrams.length > 0);
    const { port } = client.address();
    assert.equal(answer(datagram(54, HOST, port, Buffer.from('x'))), false);
    assert.equal(answer(datagram(53, '8.8.8.8', port, Buffer.from('x'))), false);
  });

  it('UDP: clients that look alike to the guest get ports of their own, and their own answers', async () => {
    const table = make();
    const { hostPort } = await publish(table, '0.0.0.0:0:53/udp');
    const one1 = await udpClient('127.0.0.1');
    const one2 = await udpClient('127.0.0.2', one1.address().port);
    const got: string[] = [];
    one1.on('message', (bytes) => got.push(`1 ${bytes}`));
    one2.on('message', (bytes) => got.push(`2 ${bytes}`));
    one1.send('1', hostPort, '127.0.0.1');
    one2.send('2', hostPort, '127.0.0.1');
    await until(() => down.datagrams.length === 2);
    const ports = down.datagrams.map(({ from }) => Number(from.split(':')[1]));
    assert.equal(new Set(ports).size, 2);
    for (const { from, bytes } of down.datagrams) {
      answer(datagram(53, HOST, Number(from.split(':')[1]), bytes));
    }
    await until(() => got.length === 2);
    assert.deepEqual(got.sort(), ['1 1', '2 2']);
  });

  it('UDP: clients are bounded, the least recently used goes first, and idle ones end', async () => {
    const table = make(undefined, undefined, { clients: 4 });
    const { hostPort } = await publish(table, '0:53/udp');
    for (let i = 1; i <= 10; i++) {
      const client = await udpClient();
      client.send('x', hostPort, '127.0.0.1');
      await until(() => down.datagrams.length === i);
    }
    assert.equal(udp.size, 4);
    assert.equal(table.list()[0]?.active, 4);
    assert.equal(udp.counts.get('published-udp-evicted'), 6);
    udp.onTimeout(udp.nextTimeout());
    assert.equal(udp.size, 0);
    assert.equal(table.list()[0]?.active, 0);
  });

  describe('UDP to a guest of both families', () => {
    const V4 = '192.168.127.2:53';
    const V6 = 'fd12:3456::2:53';
    const refuse = (to: string, from: string, bytes: Buffer | undefined, owner = OWNER): void => {
      const { key } = datagram(53, from.slice(0, from.lastIndexOf(':')), 0, Buffer.alloc(0));
      const guestAt = ip(to.slice(0, to.lastIndexOf(':')));
      setKeyAddress(key, KEY_GUEST, guestAt);
      setKeyPorts(key, 53, Number(from.slice(from.lastIndexOf(':') + 1)));
      const whole = bytes ?? Buffer.alloc(0);
      udp.onRefused(0, owner, key, whole, 0, bytes === undefined ? -1 : whole.length);
    };
    let client: UdpSocket;
    let hostPort: number;
    const send = async (text: string): Promise<string[]> => {
      const before = down.datagrams.length;
      client.send(text, hostPort, '127.0.0.1');
      await until(() => down.datagrams.length > before);
      return down.datagrams.slice(before).map(({ to, bytes }) => `${to} ${bytes}`);
    };
    beforeEach(async () => {
      more = [GUEST6];
      guest = GUEST;
      ({ hostPort } = await publish(make(), '0:53/udp'));
      client = await udpClient();
    });

    it('where nobody has the first address, the other', async () => {
      down.away.add(`${GUEST}`);
      assert.deepEqual(await send('x'), [`${V6} x`]);
    });

    it('where the guest refuses it: the other with the same datagram, also for later clients', async () => {
      assert.deepEqual(await send('one'), [`${V4} one`]);
      const [sent] = down.datagrams;
      refuse(V4, sent?.from ?? '', Buffer.from('one'));
      assert.equal(`${down.datagrams[1]?.to} ${down.datagrams[1]?.bytes}`, `${V6} one`);
      assert.deepEqual(await send('two'), [`${V6} two`]);
      assert.equal(udp.size, 1);
      client = await udpClient();
      assert.deepEqual(await send('three'), [`${V6} three`]);
    });

    it('refused at both, it stays where it is; and what has answered does not move', async () => {
      await send('one');
      refuse(V4, down.datagrams[0]?.from ?? '', undefined);
      assert.deepEqual(await send('two'), [`${V6} two`]);
      refuse(V6, down.datagrams[1]?.from ?? '', Buffer.from('two'));
      assert.equal(down.datagrams.length, 3, 'back to the first');
      refuse(V4, down.datagrams[2]?.from ?? '', Buffer.from('two'));
      assert.equal(down.datagrams.length, 3);
      answer(datagram(53, HOST, client.address().port, Buffer.from('y')));
      refuse(V4, down.datagrams[2]?.from ?? '', Buffer.from('two'));
      assert.equal(down.datagrams.length, 3);
    });

    it('another guest may not say so, nor what was not sent', async () => {
      await send('one');
      refuse(V4, down.datagrams[0]?.from ?? '', Buffer.from('one'), testGuest());
      refuse(V4, `${HOST}:9`, Buffer.from('one'));
      assert.equal(down.datagrams.length, 1);
      assert.deepEqual(await send('two'), [`${V4} two`]);
    });
  });

  it('UDP: a withdrawn port takes its clients along', async () => {
    const table = make();
    const { hostPort, id } = await publish(table, '0:53/udp');
    const client = await udpClient();
    client.send('x', hostPort, '127.0.0.1');
    await until(() => udp.size === 1);
    table.unpublish(id);
    assert.equal(udp.size, 0);
    const late = datagram(53, HOST, client.address().port, Buffer.from('late'));
    assert.equal(answer(late), false);
  });
});
