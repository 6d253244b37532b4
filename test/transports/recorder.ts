/** A segment that records what its links deliver, and the surroundings that links need. */
import { SILENT } from '../../src/base/log.ts';
import type { Frame, FrameChecksum } from '../../src/stack/frame.ts';
import type { FrameReader, FrameWriter, LinkAcceptor } from '../../src/stack/link.ts';
import type { LinkContext } from '../../src/transports/link-context.ts';
import { ANY_ADDRESS } from '../support/any-address.ts';
import { ownTurns } from '../support/turns.ts';

export interface Received {
  readonly bytes: Buffer;
  readonly checksum: FrameChecksum;
}

export class RecordedLink implements FrameReader {
  readonly name: string;
  readonly writer: FrameWriter;
  readonly frames: Received[] = [];
  batches = 0;
  writable = 0;
  downs = 0;
  /** Called after each of the events above. */
  onEvent: () => void = () => undefined;
  /** Called for each frame, while it is borrowed. */
  onFrameHook: (frame: Frame) => void = () => undefined;
  keepFrames = true;

  constructor(name: string, writer: FrameWriter) {
    this.name = name;
    this.writer = writer;
  }

  onFrame(_now: number, frame: Frame): void {
    const { slab, off, len, checksum } = frame;
    if (this.keepFrames) {
      this.frames.push({ bytes: Buffer.from(slab.bytes.subarray(off, off + len)), checksum });
    }
    this.onFrameHook(frame);
  }

  onBatchEnd(): void {
    this.batches++;
    this.writer.flush();
    this.onEvent();
  }

  onWritable(): void {
    this.writable++;
    this.onEvent();
  }

  onLinkDown(): void {
    this.downs++;
    this.onEvent();
  }

  send(frame: Uint8Array): boolean {
    const at = this.writer.reserve(frame.length);
    if (at < 0) return false;
    this.writer.slab.bytes.set(frame, at);
    this.writer.commit(frame.length);
    return true;
  }

  /** Wait for a condition that an event of this link brings about. */
  until(condition: () => boolean): Promise<void> {
    return new Promise((done) => {
      const check = (): void => {
        if (condition()) done();
      };
      this.onEvent = check;
      check();
    });
  }
}

export class RecordingAcceptor implements LinkAcceptor {
  readonly links: RecordedLink[] = [];
  limit = 8;
  /** Called while a link is being attached. */
  onAttach: (link: RecordedLink) => void = () => undefined;
  private waiting: (() => void)[] = [];

  attach(_now: number, name: string, writer: FrameWriter): FrameReader | undefined {
    const open = this.links.filter((link) => link.downs === 0).length;
    if (open >= this.limit) return undefined;
    const link = new RecordedLink(name, writer);
    this.links.push(link);
    this.onAttach(link);
    for (const wake of this.waiting.splice(0)) wake();
    return link;
  }

  /** The `n`th link ever attached, from 0. */
  async link(n: number): Promise<RecordedLink> {
    for (;;) {
      const link = this.links[n];
      if (link !== undefined) return link;
      await new Promise<void>((done) => {
        this.waiting.push(done);
      });
    }
  }
}

export const contextFor = (acceptor: LinkAcceptor, mtu = 1500): LinkContext => ({
  acceptor,
  clock: { now: () => performance.now() },
  log: SILENT,
  turns: ownTurns({ now: () => 0 }), // nothing takes any time
  mtu,
  socketMode: 0o600,
  vhostMemory: 'sealed',
  addresses: ANY_ADDRESS,
  wsOrigins: [],
});
