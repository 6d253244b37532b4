import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { performance } from 'node:perf_hooks';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Intakes } from '../../../src/proxy/intake.ts';
import { Turns } from '../../../src/proxy/turns.ts';
import { Outboxes } from '../../../src/proxy/udp/outbox.ts';
import { SendPool } from '../../../src/proxy/udp/send-pool.ts';
import { UdpNat } from '../../../src/proxy/udp/udp-nat.ts';
import {
  addressMap,
  datagram,
  destinations,
  flowBook,
  RecordingDownstream,
  SOCKETS,
  TestClock,
  until,
} from '../recording.ts';

const PORTS = 200;
const EACH = 30;

describe('proxy/udp: what the host sends to many ports at once', () => {
  let server: Socket;
  let nat: UdpNat;
  let down: RecordingDownstream;
  let froms: number[];

  beforeEach(async () => {
    server = createSocket('udp4');
    server.bind(0, '127.0.0.1');
    await once(server, 'listening');
    froms = [];
    server.on('message', (_bytes, { port }) => froms.push(port));
    down = new RecordingDownstream();
    const addresses = addressMap();
    const clock = new TestClock();
    const turns = new Turns({ clock: { now: () => performance.now() }, owed: () => 0 });
    const outboxes = new Outboxes(() => undefined);
    nat = new UdpNat({
      downstream: down,
      clock,
      flush: { schedule: () => {} },
      addresses,
      destinations: destinations(addresses, () => false),
      pool: new SendPool(),
      outboxes,
      intakes: new Intakes(turns),
      native: { posix: undefined },
      sockets: SOCKETS,
      book: flowBook(),
      seed: 5,
    });
    const { port } = server.address();
    for (let n = 0; n < PORTS; n++) {
      nat.onDatagram(0, datagram(10_000 + n, '192.168.127.254', port, Buffer.from('ask')));
      outboxes.flush();
    }
    await until(() => froms.length === PORTS);
  });
  afterEach(() => {
    nat.close();
    server.close();
  });

  it('comes in part by part, and all of it', async () => {
    for (const port of froms) {
      for (let n = 0; n < EACH; n++) server.send('answer', port, '127.0.0.1');
    }
    let most = 0;
    const began = performance.now();
    for (let before = 0; before < PORTS * EACH; before = down.datagrams.length) {
      await nextTurn();
      most = Math.max(most, down.datagrams.length - before);
      assert.ok(performance.now() - began < 10_000, `${down.datagrams.length} have come`);
    }
    assert.ok(most < 600, `${most} in one turn`);
  });

  it('a port whose guest has ended it while it waits is read no more', async () => {
    for (const port of froms) {
      for (let n = 0; n < EACH; n++) server.send('answer', port, '127.0.0.1');
    }
    await until(() => down.datagrams.length > 0);
    nat.close();
    const before = down.datagrams.length;
    for (let n = 0; n < 20; n++) await nextTurn();
    assert.equal(down.datagrams.length, before);
  });
});
