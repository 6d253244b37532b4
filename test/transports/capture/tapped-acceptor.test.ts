import assert from 'node:assert/strict';
import { makeSlab, slabOver } from '../../../src/base/slab.ts';
import { Frame } from '../../../src/stack/frame.ts';
import type { FrameReader, FrameWriter } from '../../../src/stack/link.ts';
import { TappedAcceptor } from '../../../src/transports/capture/tapped-acceptor.ts';
import { arpFrame, GATEWAY_IP, GATEWAY_MAC, GUEST_IP, GUEST_MAC } from '../../support/frames.ts';

describe('transports/capture/tapped-acceptor', () => {
  const ours = arpFrame(2, GATEWAY_MAC, GATEWAY_IP, GUEST_IP, GUEST_MAC);
  const theirs = arpFrame(1, GUEST_MAC, GUEST_IP, GATEWAY_IP);
  const shown: string[] = [];
  const passed: string[] = [];
  const slab = makeSlab(2048);
  let writer: FrameWriter | undefined;
  let reader: FrameReader | undefined;

  beforeEach(() => {
    shown.length = 0;
    passed.length = 0;
    const inner: FrameReader = {
      onFrame: (now, { len }) => void passed.push(`frame ${now} ${len}`),
      onBatchEnd: (now) => void passed.push(`batch ${now}`),
      onWritable: (now) => void passed.push(`writable ${now}`),
      onLinkDown: (now) => void passed.push(`down ${now}`),
    };
    const tap = new TappedAcceptor(
      {
        attach: (_now, name, given) => {
          writer = given;
          return name === 'full' ? undefined : inner;
        },
      },
      {
        onFrame: (now, { len, checksum, csumStart, gsoSize }) =>
          void shown.push([now, len, checksum, csumStart, gsoSize].join(' ')),
      },
      GATEWAY_MAC,
      () => 77,
    );
    const link: FrameWriter = {
      slab,
      offload: true,
      isCrowded: true,
      reserve: (len) => (len > 1_000 ? -1 : 100),
      commit: (len) => void passed.push(`commit ${len}`),
      commitOffload: (len, { gsoSize }) => void passed.push(`offload ${len} ${gsoSize}`),
      flush: () => void passed.push('flush'),
    };
    reader = tap.attach(1, 'link', link);
    assert.equal(tap.attach(1, 'full', link), undefined);
    reader = tap.attach(1, 'link', link);
  });

  it('frames from a guest are shown, and everything is passed on', () => {
    const frame = new Frame().set(slabOver(theirs), 0, theirs.length);
    reader?.onFrame(5, frame);
    reader?.onBatchEnd(6);
    reader?.onWritable(7);
    reader?.onLinkDown(8);
    assert.deepEqual(shown, [`5 ${theirs.length} unknown 0 0`]);
    assert.deepEqual(passed, [`frame 5 ${theirs.length}`, 'batch 6', 'writable 7', 'down 8']);
  });

  it('frames to a guest are shown where they are ours, with the work that is left', () => {
    assert.ok(writer !== undefined);
    assert.deepEqual([writer.offload, writer.isCrowded, writer.slab === slab], [true, true, true]);
    for (const bytes of [ours, theirs]) {
      assert.equal(writer.reserve(bytes.length), 100);
      slab.bytes.set(bytes, 100);
      writer.commit(bytes.length);
    }
    assert.equal(writer.reserve(2_000), -1);
    slab.bytes.set(ours, 100);
    writer.reserve(500);
    const work = {
      csumStart: 34,
      csumOffset: 16,
      gsoType: 'tcp4',
      gsoSize: 1460,
      headerLen: 54,
    } as const;
    writer.commitOffload(500, work);
    writer.reserve(500);
    writer.commit(0); // abandoned
    writer.flush();
    assert.deepEqual(shown, [`77 ${ours.length} unknown 0 0`, '77 500 partial 34 1460']);
    assert.deepEqual(passed, [
      ...[`commit ${ours.length}`, `commit ${theirs.length}`],
      ...['offload 500 1460', 'commit 0', 'flush'],
    ]);
  });
});
