import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SILENT } from '../../../src/base/log.ts';
import { slabOver } from '../../../src/base/slab.ts';
import { Frame } from '../../../src/stack/frame.ts';
import { PcapFile } from '../../../src/transports/capture/pcap-file.ts';
import { udpFrame } from '../../support/frames.ts';

const FILE_HEADER_LEN = 24;
const RECORD_HEADER_LEN = 16;

describe('transports/capture/pcap-file', () => {
  let dir: string;
  let path: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-pcap-'));
    path = join(dir, 'all.pcap');
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  const frameOf = (bytes: Uint8Array): Frame =>
    new Frame().set(slabOver(Uint8Array.from(bytes)), 0, bytes.length);
  const records = (): Buffer[] => {
    const bytes = readFileSync(path);
    const found: Buffer[] = [];
    for (let at = FILE_HEADER_LEN; at < bytes.length; ) {
      const len = bytes.readUInt32LE(at + 8);
      assert.equal(bytes.readUInt32LE(at + 12), len);
      found.push(bytes.subarray(at + RECORD_HEADER_LEN, at + RECORD_HEADER_LEN + len));
      at += RECORD_HEADER_LEN + len;
    }
    return found;
  };

  it('has frames as they are, at the time of the host', async () => {
    const before = Date.now();
    const file = new PcapFile(path, 5_000, SILENT);
    file.onFrame(5_250, frameOf(udpFrame(4000, 53, Buffer.from('hello'))));
    await file.close();
    assert.deepEqual(records(), [Buffer.from(udpFrame(4000, 53, Buffer.from('hello')))]);
    const bytes = readFileSync(path);
    const ms =
      bytes.readUInt32LE(FILE_HEADER_LEN) * 1000 + bytes.readUInt32LE(FILE_HEADER_LEN + 4) / 1000;
    assert.ok(ms >= before + 249 && ms <= Date.now() + 251, `${ms - before}`);
  });

  it('a sum that is left to the receiver is completed; one outside the frame is left', async () => {
    const whole = udpFrame(4000, 53, Buffer.from('hello'));
    const partial = frameOf(whole);
    partial.checksum = 'partial';
    partial.csumStart = 34;
    partial.csumOffset = 6;
    const view = partial.slab.view;
    let sum = 17 + whole.length - 34;
    for (let at = 26; at < 34; at += 2) sum += view.getUint16(at);
    view.setUint16(40, (sum & 0xffff) + (sum >>> 16));
    const file = new PcapFile(path, 0, SILENT);
    file.onFrame(0, partial);
    partial.csumStart = whole.length;
    file.onFrame(0, partial);
    await file.close();
    assert.deepEqual(records()[0], Buffer.from(whole));
    assert.equal(records().length, 2);
  });

  it('loses frames, and counts them, where the disk does not keep up; and no later ones', async () => {
    const file = new PcapFile(path, 0, SILENT);
    const large = frameOf(new Uint8Array(65_000));
    for (let i = 0; i < 40; i++) file.onFrame(0, large);
    assert.ok(file.lost > 0);
    await file.close();
    assert.equal(records().length, 40 - file.lost);
    file.onFrame(0, large);
    assert.equal(records().length, 40 - file.lost);
  });

  it('a place that cannot be written is an error with a code', () => {
    assert.throws(() => new PcapFile(dir, 0, SILENT), { code: 'ERR_HAWSER_CAPTURE' });
  });
});
