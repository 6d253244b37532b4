import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import { loadPosix } from '../../../src/native/load.ts';
import type { Posix } from '../../../src/native/posix.ts';
import { Outboxes } from '../../../src/proxy/udp/outbox.ts';
import { SendPool, type SendSlot } from '../../../src/proxy/udp/send-pool.ts';
import {
  type FrontOwner,
  type FrontPeer,
  openUdpFront,
  type UdpFront,
} from '../../../src/proxy/udp/udp-front.ts';
import { PORT_ZERO, sendFromPortZero } from '../../support/port-zero.ts';
import { describeNeeding, itNeeding, needsOf } from '../../support/requirements.ts';
import { ip } from '../recording.ts';

/** Answers each datagram with itself. */
class Echo implements FrontOwner {
  readonly keys = new Set<string>();
  readonly failures: string[] = [];
  readonly pool: SendPool = new SendPool();
  readonly outboxes: Outboxes;

  constructor(posix: Posix | undefined) {
    this.outboxes = new Outboxes(() => posix?.makeDatagramBatch());
  }

  onMessage(key: string, bytes: Uint8Array, off: number, len: number, peer: () => FrontPeer): void {
    this.keys.add(key);
    const { target, outbox } = peer();
    const slot = this.pool.take(len, target);
    assert.ok(slot !== undefined);
    slot.bytes.set(bytes.subarray(off, off + len));
    outbox.add(slot);
    this.outboxes.flush();
  }

  onReceiveError(): void {}

  onFault(): void {
    assert.fail('an answer threw');
  }

  onSent(slot: SendSlot, failure: string): void {
    if (failure !== '') this.failures.push(failure);
    this.pool.give(slot);
  }

  onInterrupted(): void {}
}

for (const [what, native] of [
  ['with native calls', true],
  ['without native calls', false],
] as const) {
  describeNeeding(`a UDP port on a wildcard, ${what}`, native ? ['koffi'] : [], () => {
    let echo: Echo;
    let front: UdpFront | undefined;
    let clients: Socket[];

    beforeEach(() => {
      clients = [];
    });
    afterEach(() => {
      front?.close();
      front = undefined;
      for (const client of clients) client.close();
    });

    const open = (address: string | undefined, port = 0): UdpFront | string => {
      const posix = native ? loadPosix() : undefined;
      echo = new Echo(posix);
      const reader = () => posix?.makeDatagramReader();
      const deps = { outboxes: echo.outboxes, native: { posix }, reader };
      return openUdpFront(address === undefined ? undefined : ip(address), port, deps, echo);
    };

    /** Of a connected socket: it takes nothing from another address. */
    async function ask(to: string, port: number, text: string): Promise<string> {
      const client = createSocket(to.includes(':') ? 'udp6' : 'udp4');
      clients.push(client);
      client.connect(port, to);
      await once(client, 'connect');
      const answered = once(client, 'message');
      client.send(text);
      const [bytes] = await answered;
      return String(bytes);
    }

    /** Every address of this machine that a client here can ask, but for those with a zone. */
    const own = (family: 4 | 6): string[] =>
      Object.values(networkInterfaces())
        .flatMap((entries = []) => entries)
        .filter((entry) => entry.family === `IPv${family}` && !entry.address.startsWith('fe80:'))
        .map(({ address }) => address);

    itNeeding(
      "a datagram from port 0 is nobody's, and the next one is answered",
      PORT_ZERO,
      async () => {
        const opened = open('0.0.0.0');
        assert.ok(typeof opened !== 'string', `${opened}`);
        front = opened;
        sendFromPortZero(opened.port, 'from port 0');
        assert.equal(await ask('127.0.0.1', opened.port, 'x'), 'x');
        assert.equal(echo.keys.size, 1);
        assert.deepEqual(echo.failures, []);
      },
    );

    for (const address of [undefined, '0.0.0.0', '::'] as const) {
      itNeeding(
        `${address ?? 'of both families'}: answers from the address that was asked`,
        needsOf(address ?? ''),
        async () => {
          const opened = open(address);
          assert.ok(typeof opened !== 'string', `${opened}`);
          front = opened;
          const asked = [
            ...(address === '::' ? [] : [...own(4), ...(native ? ['127.9.9.9'] : [])]),
            ...(address === '0.0.0.0' ? [] : own(6)),
          ];
          for (const to of asked) assert.equal(await ask(to, opened.port, `to ${to}`), `to ${to}`);
          assert.equal(echo.keys.size, asked.length);
          assert.deepEqual([echo.failures, echo.pool.lentBytes], [[], 0]);
        },
      );
    }

    it('says when the port is taken', () => {
      const opened = open('0.0.0.0');
      assert.ok(typeof opened !== 'string');
      front = opened;
      assert.equal(open('0.0.0.0', opened.port), 'EADDRINUSE');
    });

    it('keeps up with a peer that sends 24 in a turn of the event loop', async () => {
      const opened = open('0.0.0.0');
      assert.ok(typeof opened !== 'string');
      front = opened;
      const client = createSocket('udp4');
      clients.push(client);
      client.connect(opened.port, '127.0.0.1');
      await once(client, 'connect');
      let answers = 0;
      client.on('message', () => answers++);
      const bytes = Buffer.alloc(1000);
      for (let sent = 0; sent < 4800; sent += 24) {
        for (let i = 0; i < 24; i++) client.send(bytes);
        await new Promise(setImmediate);
      }
      while (answers < 4800) await new Promise(setImmediate);
    });

    it('carries the longest datagrams, and empty ones', async () => {
      const opened = open('0.0.0.0');
      assert.ok(typeof opened !== 'string');
      front = opened;
      for (const len of [0, 1, 65_507]) {
        const text = 'z'.repeat(len);
        assert.equal(await ask('127.0.0.1', opened.port, text), text);
      }
    });
  });
}
