/** Writes the control frames that are due for a channel, in the order that the peer needs. */
import type { Instant } from '../base/time.ts';
import type { Channel } from './channel.ts';
import { destinationLen, ENDPOINT_LEN, emitDestination, emitEndpoint } from './destination.ts';
import {
  ACCEPT,
  CLOSE,
  emitFrame,
  emitReset,
  emitWindow,
  FRAME_HEADER_LEN,
  OPEN,
  resetLen,
  SHUTDOWN,
  WINDOW_LEN,
} from './frame.ts';
import { resetCodeOf } from './reason.ts';
import type { Session } from './session.ts';

const MULTIPLEXED = 2;
/** Text of a Reset is cut here. */
const MAX_TEXT_LEN = 1024;

/** @returns false when the link has no room: what is still due stays so */
export function writeControl(now: Instant, session: Session, channel: Channel): boolean {
  if (channel.openDue) {
    if (channel.closeDue) {
      session.channels.delete(channel.id); // the peer never heard of it
      channel.closeDue = false;
      return true;
    }
    if (!writeOpen(session, channel)) return false;
  }
  if (channel.closeDue) return writeClose(session, channel);
  if (channel.acceptDue) {
    if (!writeBare(session, channel, ACCEPT)) return false;
    channel.acceptDue = false;
  }
  if (channel.windowDue && !writeWindow(now, session, channel)) return false;
  if (!channel.shutdownWanted || channel.tx.length > 0 || channel.closeSent) return true;
  if (!channel.shutdownSent) {
    if (!writeBare(session, channel, SHUTDOWN)) return false;
    channel.shutdownSent = true;
    channel.settle();
  }
  if (!channel.rxEnded) return true;
  if (!writeBare(session, channel, CLOSE)) return false;
  onCloseSent(session, channel);
  return true;
}

function writeOpen(session: Session, channel: Channel): boolean {
  const { writer, link } = session;
  const { client } = channel;
  const at = writer.reserve(
    FRAME_HEADER_LEN + 1 + destinationLen(channel.destination) + ENDPOINT_LEN,
  );
  if (at < 0) return false;
  const { view } = writer.slab;
  view.setUint8(at + FRAME_HEADER_LEN, MULTIPLEXED);
  let len = FRAME_HEADER_LEN + 1;
  len += emitDestination(view, at + len, channel.destination);
  if (link.extended && client !== undefined) len += emitEndpoint(view, at + len, client);
  writer.commit(emitFrame(view, at, len, OPEN, channel.id));
  session.stats.framesSent++;
  channel.openDue = false;
  if (link.extended) channel.rxAllowed = channel.rxWindow;
  else channel.windowDue = true;
  return true;
}

function writeWindow(now: Instant, session: Session, channel: Channel): boolean {
  if (!channel.rxEnded && !channel.over) {
    const { writer, link } = session;
    const at = writer.reserve(WINDOW_LEN);
    if (at < 0) return false;
    channel.rxAllowed = session.budget.renew(now, channel, link.extended, link.rttMs);
    writer.commit(emitWindow(writer.slab.view, at, channel.id, channel.rxAllowed));
    session.stats.framesSent++;
  }
  channel.windowDue = false;
  return true;
}

function writeClose(session: Session, channel: Channel): boolean {
  const { closeReason } = channel;
  if (closeReason === 'finished' || !session.link.extended) {
    if (!writeBare(session, channel, CLOSE)) return false;
  } else {
    const { writer } = session;
    const text = new TextEncoder().encode(channel.closeText).subarray(0, MAX_TEXT_LEN);
    const at = writer.reserve(resetLen(text.length));
    if (at < 0) return false;
    writer.commit(emitReset(writer.slab.view, at, channel.id, resetCodeOf(closeReason), text));
    session.stats.framesSent++;
  }
  onCloseSent(session, channel);
  return true;
}

function onCloseSent(session: Session, channel: Channel): void {
  channel.closeDue = false;
  channel.closeSent = true;
  if (channel.closeReceived) session.channels.delete(channel.id);
}

function writeBare(session: Session, channel: Channel, command: number): boolean {
  const { writer } = session;
  const at = writer.reserve(FRAME_HEADER_LEN);
  if (at < 0) return false;
  writer.commit(emitFrame(writer.slab.view, at, FRAME_HEADER_LEN, command, channel.id));
  session.stats.framesSent++;
  return true;
}
