import type { Instant } from '../../base/time.ts';
import {
  EVENT_CLOSED,
  EVENT_GUEST_END,
  EVENT_OPEN,
  EVENT_READABLE,
  EVENT_WRITABLE,
  type TcpConnection,
} from './connection.ts';

/** Call the handler for every event noted, in the order in which they make sense. */
export function deliver(c: TcpConnection, now: Instant): void {
  const { events } = c;
  c.events = 0;
  c.queued = false;
  // `c.handler` is read anew for each: one that aborts the flow hears no more.
  if ((events & EVENT_OPEN) !== 0) c.handler.onOpen(now, c);
  if ((events & EVENT_READABLE) !== 0 && c.receivedLen > 0) c.handler.onReadable(now, c);
  if ((events & EVENT_GUEST_END) !== 0) c.handler.onPeerEnd(now, c);
  if ((events & EVENT_WRITABLE) !== 0 && c.state !== 'closed') c.handler.onWritable(now, c);
  if ((events & EVENT_CLOSED) === 0) return;
  c.handler.onClosed(now, c, c.closeReason);
  if (c.closeReason !== 'finished') c.received.clear();
}
