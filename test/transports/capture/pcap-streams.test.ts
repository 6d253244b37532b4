import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { slabOver } from '../../../src/base/slab.ts';
import { Frame } from '../../../src/stack/frame.ts';
import {
  CLIENT_MAX,
  PcapStreams,
  RECENT_MAX,
} from '../../../src/transports/capture/pcap-streams.ts';

const FILE_HEADER_LEN = 24;
const RECORD_HEADER_LEN = 16;

describe('transports/capture/pcap-streams', () => {
  const frameOf = (byte: number, len: number): Frame =>
    new Frame().set(slabOver(new Uint8Array(len).fill(byte)), 0, len);
  /** Of each record the first byte, bytes kept, bytes on the wire. */
  const records = (client: PassThrough): [number, number, number][] => {
    const bytes: Buffer = client.read() ?? Buffer.alloc(0);
    assert.equal(bytes.readUInt32LE(0), 0xa1b2_c3d4);
    const found: [number, number, number][] = [];
    for (let at = FILE_HEADER_LEN; at < bytes.length; ) {
      const kept = bytes.readUInt32LE(at + 8);
      found.push([bytes[at + RECORD_HEADER_LEN] ?? -1, kept, bytes.readUInt32LE(at + 12)]);
      at += RECORD_HEADER_LEN + kept;
    }
    return found;
  };
  const client = (highWaterMark = 2 ** 30): PassThrough => new PassThrough({ highWaterMark });

  it('each client is sent what passed before it, and what passes', () => {
    const streams = new PcapStreams(128);
    streams.onFrame(0, frameOf(1, 60));
    const first = client();
    streams.add(first);
    streams.onFrame(1, frameOf(2, 60));
    const second = client();
    streams.add(second);
    streams.onFrame(2, frameOf(3, 60));
    streams.close();
    const all = [1, 2, 3].map((byte) => [byte, 60, 60]);
    assert.deepEqual(records(first), all);
    assert.deepEqual(records(second), all);
  });

  it('it is sent without waiting for more', async () => {
    const streams = new PcapStreams(128);
    const one = client();
    streams.add(one);
    one.read();
    streams.onFrame(0, frameOf(1, 60));
    const came = new Promise((resolve) => one.once('readable', resolve));
    const alive = setInterval(() => {}, 1_000); // a capture keeps no process alive
    await came;
    clearInterval(alive);
    streams.close();
  });

  it('no more of a frame than was asked for', () => {
    const streams = new PcapStreams(128);
    const one = client();
    streams.add(one);
    streams.onFrame(0, frameOf(1, 65_000));
    streams.onFrame(0, frameOf(2, 128));
    streams.close();
    assert.deepEqual(records(one), [
      [1, 128, 65_000],
      [2, 128, 128],
    ]);
  });

  it('of what passed before a client, so much is kept', () => {
    const streams = new PcapStreams(65_536);
    const count = (4 * RECENT_MAX) / 1_024;
    for (let i = 0; i < count; i++) streams.onFrame(i, frameOf(i % 256, 1_008));
    const one = client();
    streams.add(one);
    streams.close();
    const found = records(one);
    const bytes = found.length * 1_024;
    assert.ok(bytes <= RECENT_MAX && bytes > RECENT_MAX / 2, `${bytes}`);
    assert.deepEqual(found.at(-1), [(count - 1) % 256, 1_008, 1_008]);
  });

  it('a client that does not read loses frames, which are counted; others lose none', () => {
    const streams = new PcapStreams(65_536);
    const [slow, quick] = [client(1), client()];
    streams.add(slow);
    streams.add(quick);
    const count = (3 * CLIENT_MAX) / 1_024;
    for (let i = 0; i < count; i++) streams.onFrame(i, frameOf(1, 1_008));
    streams.close();
    assert.ok(streams.lost > 0 && streams.lost < count, `${streams.lost}`);
    assert.ok(slow.writableLength < 2 * CLIENT_MAX, `${slow.writableLength}`);
    assert.equal(records(quick).length, count);
  });

  it('a client that goes, or fails, is sent no more', () => {
    const streams = new PcapStreams(128);
    const [gone, failed] = [client(), client()];
    for (const one of [gone, failed]) streams.add(one);
    gone.destroy();
    failed.destroy(new Error('reset'));
    streams.onFrame(0, frameOf(1, 60));
    streams.close();
    assert.equal(streams.lost, 0);
  });
});
