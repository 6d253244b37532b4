import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { loadPosix } from '../../src/native/load.ts';
import type { SocketPairType } from '../../src/native/posix.ts';
import { openInheritedDescriptor } from '../../src/transports/descriptor-link.ts';
import type { OpenLink } from '../../src/transports/link-context.ts';
import { describeNeeding } from '../support/requirements.ts';
import { contextFor, RecordingAcceptor } from './recorder.ts';

/** The framing that a socket of this kind has when none is named. */
const USUAL: readonly (readonly [SocketPairType, string])[] = [
  ['stream', 'qemu'],
  ['dgram', 'packet'],
  ['seqpacket', 'packet'],
];

describeNeeding('transports/descriptor-link', ['koffi'], () => {
  const links: OpenLink[] = [];
  const far: number[] = [];
  const pair = (type: SocketPairType): readonly [number, number] => {
    const ends = loadPosix().socketPair(type);
    far.push(ends[1]);
    return ends;
  };
  afterEach(async () => {
    for (const link of links.splice(0)) await link.close();
    for (const fd of far.splice(0)) loadPosix().close(fd);
  });

  for (const [type, framing] of USUAL) {
    it(`a ${type} socket has frames by ${framing}, both ways`, async () => {
      const posix = loadPosix();
      const [ours, theirs] = pair(type);
      const acceptor = new RecordingAcceptor();
      const link = openInheritedDescriptor(ours, undefined, contextFor(acceptor));
      links.push(link);
      assert.equal(link.description, `fd:${ours}:${framing}`);
      const header = framing === 'qemu' ? [0, 0, 0, 60] : [];
      const frame = Uint8Array.from([...header, ...Buffer.alloc(60, 7)]);
      assert.equal(posix.write(theirs, frame, 0, frame.length), frame.length);
      const guest = await acceptor.link(0);
      await guest.until(() => guest.frames.length === 1);
      assert.deepEqual(guest.frames[0]?.bytes, Buffer.alloc(60, 7));
      assert.ok(guest.send(Buffer.alloc(60, 8)));
      guest.writer.flush();
      const read = Buffer.alloc(100);
      assert.equal(posix.read(theirs, read, 0, read.length), header.length + 60);
      assert.equal(read[header.length], 8);
    });
  }

  for (const type of ['dgram', 'seqpacket'] as const) {
    it(`a ${type} socket is waited for while it is full, and nothing is lost`, async () => {
      const posix = loadPosix();
      const [ours, theirs] = pair(type);
      const acceptor = new RecordingAcceptor();
      links.push(openInheritedDescriptor(ours, 'packet', contextFor(acceptor)));
      const guest = await acceptor.link(0);
      let sent = 0;
      while (guest.send(Buffer.alloc(1500, sent & 255))) {
        guest.writer.flush();
        sent++;
      }
      const read = Buffer.alloc(2000);
      for (let i = 0; i < sent; ) {
        if (posix.read(theirs, read, 0, read.length) < 0) await new Promise(setImmediate);
        else assert.equal(read[0], i++ & 255);
      }
      assert.ok(guest.writable > 0);
    });
  }

  it('with VPNKit framing where it is named, until the guest leaves', async () => {
    const posix = loadPosix();
    const [ours, theirs] = pair('stream');
    const acceptor = new RecordingAcceptor();
    const link = openInheritedDescriptor(ours, 'vpnkit', contextFor(acceptor));
    links.push(link);
    assert.equal(link.failure, undefined);
    posix.write(theirs, Uint8Array.from([60, 0, ...Buffer.alloc(60, 1)]), 0, 62);
    const guest = await acceptor.link(0);
    await guest.until(() => guest.frames.length === 1);
    posix.close(far.pop() ?? -1);
    await guest.until(() => guest.downs === 1);
    await new Promise(setImmediate);
    assert.match(link.failure ?? '', /its guest has closed it/);
  });

  it('refuses what is not open, and a file with a framing of streams', () => {
    const context = contextFor(new RecordingAcceptor());
    const file = openSync(process.execPath, 'r');
    try {
      assert.throws(() => openInheritedDescriptor(file, 'qemu', context), {
        code: 'ERR_HAWSER_LINK',
        message: /not that of a connected stream socket/,
      });
    } finally {
      closeSync(file);
    }
    assert.throws(() => openInheritedDescriptor(file, undefined, context), {
      code: 'ERR_HAWSER_LINK',
      message: /descriptor \d+ is not open: whoever starts this has to hand it on/,
    });
  });

  it('knows the type of a socket, and that a file is none', () => {
    const posix = loadPosix();
    for (const [type] of USUAL) {
      const [ours] = pair(type);
      far.push(ours);
      assert.equal(posix.socketType(ours), type);
    }
    const file = openSync(process.execPath, 'r');
    assert.equal(posix.socketType(file), undefined);
    closeSync(file);
  });
});
