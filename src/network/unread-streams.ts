/**
 * Connections of guests that are over, and of which the program has not read all: it may still, and until then they keep what
 * was received. A guest can make any number of them where the program does not read, so that of each guest some are kept, and
 * the oldest closes for one more.
 */
import { Counters } from '../base/counters.ts';
import type { ByteDuplex } from '../proxy/stream/byte-duplex.ts';
import type { Guest } from '../stack/guest.ts';

export const UNREAD_MAX = 256;

export class UnreadStreams {
  readonly counts: Counters<'unread-closed'> = new Counters();
  private readonly byGuest = new Map<Guest, Set<ByteDuplex>>();

  add(owner: Guest, stream: ByteDuplex): void {
    const streams = this.byGuest.get(owner) ?? new Set();
    this.byGuest.set(owner, streams);
    streams.add(stream);
    stream.once('close', () => {
      streams.delete(stream);
      if (streams.size === 0 && this.byGuest.get(owner) === streams) this.byGuest.delete(owner);
    });
    const [oldest] = streams;
    if (streams.size <= UNREAD_MAX || oldest === undefined) return;
    streams.delete(oldest);
    this.counts.add('unread-closed');
    oldest.destroy();
  }
}
