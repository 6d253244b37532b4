import assert from 'node:assert/strict';
import { loadPosix } from '../../src/native/load.ts';
import { FdLink } from '../../src/transports/fd-link.ts';
import { contextFor, type RecordedLink, RecordingAcceptor } from './recorder.ts';

const posix = loadPosix();
const FRAME = Buffer.from('02000000000102000000000208000102030405', 'hex');

interface Wire {
  readonly fdLink: FdLink;
  readonly link: RecordedLink;
  /** The far end: one frame a message. */
  readonly far: number;
  close(): Promise<void>;
}

/** A seqpacket pair keeps message boundaries, as a TAP does. */
async function wire(
  vnetHdrLen: number,
  acceptor: RecordingAcceptor = new RecordingAcceptor(),
): Promise<Wire> {
  const [fd, far] = posix.socketPair('seqpacket');
  const fdLink = new FdLink({ posix, fd, vnetHdrLen, description: 'test' }, contextFor(acceptor));
  const link = await acceptor.link(0);
  const close = async (): Promise<void> => {
    await fdLink.close();
    posix.close(far);
  };
  return { fdLink, link, far, close };
}

const put = (fd: number, bytes: Uint8Array): void => {
  assert.equal(posix.write(fd, bytes, 0, bytes.length), bytes.length);
};
function take(fd: number): string {
  const bytes = Buffer.alloc(70_000);
  return bytes.toString('hex', 0, Math.max(posix.read(fd, bytes, 0, bytes.length), 0));
}

describe('transports/fd-link', () => {
  it('delivers a burst of frames as one batch', async () => {
    const { link, far, close, fdLink } = await wire(0);
    for (let i = 0; i < 10; i++) put(far, FRAME);
    await link.until(() => link.batches > 0);
    assert.equal(link.batches, 1);
    assert.equal(link.frames.length, 10);
    assert.ok(
      link.frames.every((frame) => frame.bytes.equals(FRAME) && frame.checksum === 'unknown'),
    );
    assert.equal(fdLink.stats.framesToHost, 10);
    await close();
  });

  it('ends a batch after 64 frames, so that a flood leaves room for the rest', async () => {
    const { link, far, close } = await wire(0);
    let sent = 0;
    while (sent < 150 && posix.write(far, FRAME, 0, FRAME.length) > 0) sent++;
    assert.ok(sent > 64);
    await link.until(() => link.frames.length === sent);
    assert.ok(link.batches >= Math.ceil(sent / 64));
    await close();
  });

  it('sends a frame when it is committed', async () => {
    const { link, far, close } = await wire(0);
    link.send(FRAME);
    assert.equal(take(far), FRAME.toString('hex'));
    await close();
  });

  it('sends what is sent while it is attached', async () => {
    const acceptor = new RecordingAcceptor();
    acceptor.onAttach = (link) => assert.ok(link.send(FRAME));
    const { far, close } = await wire(0, acceptor);
    assert.equal(take(far), FRAME.toString('hex'));
    await close();
  });

  it('drops and counts what the kernel has no room for', async () => {
    const { link, close, fdLink } = await wire(0);
    for (let i = 0; i < 5000 && fdLink.stats.drops.get('guest-queue-full') === 0; i++) {
      assert.ok(link.send(FRAME));
    }
    assert.equal(fdLink.stats.drops.get('guest-queue-full'), 1);
    await close();
  });

  for (const [header, checksum] of [
    ['00000000000000000000', 'unknown'],
    ['01000000000022001000', 'partial'],
    ['01014200a80522001000', 'partial'],
    ['02000000000000000000', 'valid'],
  ] as const) {
    it(`takes the vnet header ${header} for a checksum that is ${checksum}`, async () => {
      const { link, far, close } = await wire(10);
      put(far, Buffer.concat([Buffer.from(header, 'hex'), FRAME]));
      await link.until(() => link.frames.length === 1);
      assert.deepEqual(link.frames, [{ bytes: FRAME, checksum }]);
      await close();
    });
  }

  it('writes the vnet header of a plain frame, also after one to be cut', async () => {
    const { link, far, close } = await wire(10);
    const { writer } = link;
    assert.ok(writer.offload);
    const at = writer.reserve(9000);
    writer.slab.bytes.set(FRAME, at);
    writer.commitOffload(FRAME.length, {
      csumStart: 34,
      csumOffset: 16,
      gsoType: 'tcp4',
      gsoSize: 1448,
      headerLen: 66,
    });
    assert.equal(take(far), `0101${'4200'}${'a805'}${'2200'}${'1000'}${FRAME.toString('hex')}`);
    writer.slab.bytes.set(FRAME, writer.reserve(9000));
    writer.commitOffload(FRAME.length, {
      csumStart: 54,
      csumOffset: 16,
      gsoType: 'tcp6',
      gsoSize: 1440,
      headerLen: 74,
    });
    assert.equal(take(far), `0104${'4a00'}${'a005'}${'3600'}${'1000'}${FRAME.toString('hex')}`);
    writer.slab.bytes.set(FRAME, writer.reserve(9000));
    writer.commitOffload(FRAME.length, {
      csumStart: 34,
      csumOffset: 16,
      gsoType: 'none',
      gsoSize: 0,
      headerLen: 54,
    });
    assert.equal(take(far), `0100${'3600'}${'0000'}${'2200'}${'1000'}${FRAME.toString('hex')}`);
    link.send(FRAME);
    assert.equal(take(far), `${'00'.repeat(10)}${FRAME.toString('hex')}`);
    await close();
  });

  it('drops and counts what is shorter than its headers', async () => {
    const { link, far, close, fdLink } = await wire(10);
    put(far, Buffer.alloc(23));
    await link.until(() => link.batches === 1);
    assert.equal(link.frames.length, 0);
    assert.equal(fdLink.stats.drops.get('runt-frame'), 1);
    await close();
  });

  it('goes down once, and writes nothing after', async () => {
    const { link, close, fdLink } = await wire(0);
    await close();
    await fdLink.close();
    assert.equal(link.downs, 1);
    assert.equal(link.send(FRAME), false);
  });

  it('goes down when the far end does', async () => {
    const { link, far, fdLink } = await wire(0);
    posix.close(far);
    await link.until(() => link.downs === 1);
    await fdLink.close();
  });

  it('may be closed while it delivers', async () => {
    const { link, far, close, fdLink } = await wire(0);
    link.onFrameHook = () => void fdLink.close();
    put(far, FRAME);
    put(far, FRAME);
    await link.until(() => link.downs === 1);
    assert.equal(link.frames.length, 1);
    await close();
  });
});
