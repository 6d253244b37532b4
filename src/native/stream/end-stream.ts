/**
 * The end of a stream as a careful peer expects it: everything that was written, then the end, and no reset. A Unix socket
 * that is closed with unread bytes in it resets its peer, so what that still sends is read, and dropped, up to its own end.
 */
import { allocate } from '../../base/arena.ts';
import { once } from '../../base/once.ts';
import type { HostStream } from './host-stream.ts';

/** Nothing of it is looked at; no owner has a longer one. */
const SINK_LEN = 256 << 10;
const sink = once(() => allocate(SINK_LEN));

/**
 * @param stream started, and not closed; its owner hears no more of it
 * @param limitMs then it is closed, whatever the peer does
 * @returns when it is closed
 */
export function endStream(stream: HostStream, limitMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      stream.close();
      resolve();
    }, limitMs);
    const onHostClosed = (): void => {
      clearTimeout(timer);
      resolve();
    };
    stream.pause();
    const owner = { onHostBytes: () => true, onHostEnd() {}, onHostWritten() {}, onHostClosed };
    stream.start(owner, true, sink());
    stream.end();
    setImmediate(() => stream.resume()); // not from within a callback of a read, which may stop the next
  });
}
