import assert from 'node:assert/strict';
import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { NO_FLUSH } from '../../../src/proxy/flush-scheduler.ts';
import { ByteDuplex } from '../../../src/proxy/stream/byte-duplex.ts';
import * as p from '../../../src/transports/vsock/packet.ts';
import { Guest, ops, type Packet } from './guest.ts';

const context = { clock: { now: () => 0 }, flusher: NO_FLUSH };

interface Ends {
  readonly guest: Guest;
  readonly duplex: ByteDuplex;
}

function connect(): Ends {
  const guest = new Guest();
  const duplex = new ByteDuplex(context);
  const stream = guest.endpoint.connect(0, 9, duplex);
  assert.ok(stream);
  duplex.join(stream);
  guest.step();
  return { guest, duplex };
}

function open(): Ends {
  const ends = connect();
  ends.guest.send(p.OP_RESPONSE, 9, 5000);
  return ends;
}

const payloads = (packets: readonly Packet[]): number =>
  packets.reduce((sum, { payload }) => sum + payload.length, 0);

describe('a vsock stream as a ByteDuplex', () => {
  it('carries bytes and ends both ways', async () => {
    const { guest, duplex } = open();
    duplex.end('to the guest');
    await once(duplex, 'finish');
    assert.deepEqual(ops(guest.step()), ['RW', 'SHUTDOWN']);
    guest.put(p.OP_RW, 9, 5000, { payload: Buffer.from('to the host') });
    guest.send(p.OP_SHUTDOWN, 9, 5000, { flags: p.SHUTDOWN_SEND, fwdCnt: 12 });
    const chunks: Uint8Array[] = [];
    for await (const chunk of duplex) chunks.push(chunk);
    assert.equal(Buffer.concat(chunks).toString(), 'to the host');
    guest.step();
    assert.equal(guest.endpoint.streamsOpen, 0);
    assert.equal(guest.pool.inUse, 0);
  });

  it('delivers what is queued when both ends have ended', async () => {
    const { guest, duplex } = open();
    guest.buffers = 0;
    duplex.resume().end(new Uint8Array(50_000));
    guest.send(p.OP_SHUTDOWN, 9, 5000, { flags: p.SHUTDOWN_SEND });
    await once(duplex, 'close');
    guest.buffers = 100;
    const sent = guest.step();
    assert.equal(payloads(sent), 50_000);
    assert.deepEqual(ops(sent).slice(-2), ['SHUTDOWN', 'RST']);
  });

  it('is held back by a guest that does not read, and by a reader of ours', async () => {
    const { guest, duplex } = open();
    let written = false;
    duplex.write(new Uint8Array(400_000), () => {
      written = true;
    });
    const first = guest.step();
    await turn();
    assert.equal(written, false);
    assert.ok(payloads(first) <= 256 << 10);
    guest.put(p.OP_CREDIT_UPDATE, 9, 5000, { fwdCnt: payloads(first) });
    const second = guest.step();
    await turn();
    assert.equal(written, true);
    assert.equal(payloads([...first, ...second, ...guest.step()]), 400_000);

    for (let i = 0; i < 4; i++) {
      const payload = new Uint8Array(60_000);
      guest.put(p.OP_RW, 9, 5000, { payload, fwdCnt: payloads(first) });
      guest.step();
    }
    assert.equal(duplex.readableLength, 0, 'nothing is taken before it is asked for');
    duplex.read();
    assert.ok(duplex.readableLength < 240_000);
  });

  for (const [what, op, code] of [
    ['a refusal', p.OP_RST, 'ECONNREFUSED'],
    ['a reset', p.OP_RST, 'ECONNRESET'],
  ] as const) {
    it(`reports ${what} as ${code}`, async () => {
      const { guest, duplex } = code === 'ECONNRESET' ? open() : connect();
      const failed = once(duplex, 'error');
      guest.send(op, 9, 5000);
      const [error] = await failed;
      assert.equal(error.code, code);
    });
  }

  it('resets the stream when it is destroyed', () => {
    const { guest, duplex } = open();
    duplex.write('lost');
    duplex.destroy();
    return once(duplex, 'close').then(() => {
      assert.deepEqual(ops(guest.step()), ['RST']);
    });
  });
});
