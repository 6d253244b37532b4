/** The pcap format (draft-ietf-opsawg-pcap): Ethernet frames at times in microseconds, little-endian. */
import { copyBytes } from '../../base/copy-bytes.ts';
import { makeSlab, type Slab } from '../../base/slab.ts';
import type { Frame } from '../../stack/frame.ts';
import { completeSum, hasSumInside } from '../../stack/segmentation.ts';

const MAGIC_US = 0xa1b2_c3d4;
const LINKTYPE_ETHERNET = 1;
const FILE_HEADER_LEN = 24;
export const RECORD_HEADER_LEN = 16;
/** No frame is longer. */
export const SNAP_LEN_MAX = 262_144;

/** What a capture begins with. @param snapLen of no frame are more bytes kept */
export function pcapHeader(snapLen: number): Uint8Array {
  const { bytes, view } = makeSlab(FILE_HEADER_LEN);
  view.setUint32(0, MAGIC_US, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 4, true);
  view.setUint32(16, snapLen, true);
  view.setUint32(20, LINKTYPE_ETHERNET, true);
  return bytes;
}

/**
 * Write a frame, with the sum that a card would complete.
 *
 * @param slab has room for all of the frame at `at`, whatever is kept of it
 * @param wallMs ms since the Unix epoch
 * @returns bytes written
 */
export function emitRecord(
  slab: Slab,
  at: number,
  wallMs: number,
  frame: Frame,
  snapLen: number,
): number {
  const { view, bytes } = slab;
  const { len } = frame;
  const kept = Math.min(len, snapLen);
  const seconds = Math.floor(wallMs / 1000);
  view.setUint32(at, seconds, true);
  view.setUint32(at + 4, Math.floor((wallMs - seconds * 1000) * 1000), true);
  view.setUint32(at + 8, kept, true);
  view.setUint32(at + 12, len, true);
  copyBytes(frame.slab.bytes, frame.off, bytes, at + RECORD_HEADER_LEN, len);
  if (frame.checksum === 'partial' && hasSumInside(frame)) {
    completeSum(frame, slab, at + RECORD_HEADER_LEN);
  }
  return RECORD_HEADER_LEN + kept;
}
