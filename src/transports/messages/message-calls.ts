/** What all links over message sockets have in common: room to receive to, and headers to send by, used by one at a time. */
import { getSystemErrorName } from 'node:util';
import type { Log } from '../../base/log.ts';
import { makePacketSlab, type Slab } from '../../base/slab.ts';
import type { DatagramReader, FrameBatch, Posix } from '../../native/posix.ts';
import { SOCKADDR_UN_LEN } from '../../native/sockaddr.ts';
import type { Frame } from '../../stack/frame.ts';
import { ETHERNET_HEADER_LEN } from '../../wire/ethernet.ts';
import { MAX_FRAME_LEN } from '../framing.ts';
import type { LinkStats } from '../link-stats.ts';

/** As many frames of any length as fit 1 MiB. They are processed before anything else is received. */
const MESSAGES = 15;
const ROOM_LEN = 1 << 20;

export interface MessageCalls {
  readonly slab: Slab;
  readonly reader: DatagramReader;
  readonly batch: FrameBatch;
}

const made = new WeakMap<Posix, MessageCalls>();

export function messageCalls(posix: Posix): MessageCalls {
  const known = made.get(posix);
  if (known !== undefined) return known;
  const slab = makePacketSlab(ROOM_LEN);
  const room = { data: slab, messages: MESSAGES, nameLen: SOCKADDR_UN_LEN };
  const calls = { slab, reader: posix.makeDatagramReader(room), batch: posix.makeFrameBatch() };
  made.set(posix, calls);
  return calls;
}

/** @returns whether message `i` was a frame, which `frame` is then; else it is counted */
export function readFrame(
  { slab, reader }: MessageCalls,
  i: number,
  frame: Frame,
  stats: LinkStats,
): boolean {
  const len = reader.len(i);
  if (len < ETHERNET_HEADER_LEN || len > MAX_FRAME_LEN) {
    stats.drops.add(len < ETHERNET_HEADER_LEN ? 'runt-frame' : 'oversized-frame');
    return false;
  }
  stats.framesToHost++;
  stats.bytesToHost += len;
  frame.set(slab, reader.off(i), len);
  return true;
}

/** EACCES: its socket is another user's, who has not let us write to it. */
export function warnRefused(log: Log, link: string, errno: number): void {
  const error = getSystemErrorName(-errno);
  log.warn(
    { link, error },
    'frames to a guest are refused: its socket must be writable for hawser',
  );
}
