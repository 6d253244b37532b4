/**
 * Two `vhost-user:` links as a process, which a hostile frontend of one may try to end: `node serve-main.js PATH PATH`. Each
 * frame comes back to where it came from. One line of JSON when it serves, and for each warning.
 */
import type { Log } from '../../../src/base/log.ts';
import type { Frame } from '../../../src/stack/frame.ts';
import type { FrameReader, FrameWriter, LinkAcceptor } from '../../../src/stack/link.ts';
import { VhostNetLink } from '../../../src/transports/vhost-net/vhost-net-link.ts';
import { contextFor } from '../recorder.ts';

const print = (fields: object, message: string): void => {
  process.stdout.write(`${JSON.stringify({ ...fields, message })}\n`);
};
const log: Log = { debug: () => {}, info: () => {}, warn: print, error: print };

class Echo implements FrameReader {
  private readonly writer: FrameWriter;

  constructor(writer: FrameWriter) {
    this.writer = writer;
  }

  onFrame(_now: number, { slab, off, len }: Frame): void {
    const at = this.writer.reserve(len);
    if (at < 0) return;
    this.writer.slab.bytes.set(slab.bytes.subarray(off, off + len), at);
    this.writer.commit(len);
  }

  onBatchEnd(): void {
    this.writer.flush();
  }

  onWritable(): void {}
  onLinkDown(): void {}
}

const acceptor: LinkAcceptor = { attach: (_now, _name, writer) => new Echo(writer) };
const paths = process.argv.slice(2);
const links: VhostNetLink[] = [];
for (const path of paths)
  links.push(await VhostNetLink.open(path, { ...contextFor(acceptor), log }));
process.once('SIGTERM', () => {
  for (const link of links) void link.close();
});
print({ paths }, 'ready');
