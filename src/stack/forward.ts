/**
 * Frames from one guest to another.
 *
 * Most are copied as they are. A frame whose link left work undone (virtio-net: no sum yet, or a
 * segment larger than the MTU) is handed on as it is to a link that leaves it to its own guest's
 * kernel; for others it is summed, and cut, on its way.
 */
import { copyBytes } from '../base/copy-bytes.ts';
import type { Frame } from './frame.ts';
import type { LinkPort } from './link-port.ts';
import { completeSum, type Segmentation } from './segmentation.ts';

/** @returns whether the frame is on its way; otherwise it is to be counted as dropped */
export function forwardFrame(port: LinkPort, frame: Frame, segmentation: Segmentation): boolean {
  const { offload, isCrowded } = port.writer;
  if (isCrowded === true) return false;
  if (frame.gsoSize > 0 && (!offload || frame.checksum !== 'partial')) {
    return cutFrame(port, frame, segmentation);
  }
  const { len } = frame;
  if (len > (port.writer.longestFrame ?? len)) return false;
  const at = port.writer.reserve(len);
  if (at < 0) return false;
  const { slab } = port.writer;
  copyBytes(frame.slab.bytes, frame.off, slab.bytes, at, len);
  if (frame.checksum !== 'partial') port.writer.commit(len);
  else if (offload) port.writer.commitOffload(len, frame);
  else {
    completeSum(frame, slab, at);
    port.writer.commit(len);
  }
  port.sent(len);
  return true;
}

function cutFrame(port: LinkPort, frame: Frame, segmentation: Segmentation): boolean {
  if (!segmentation.plan(frame)) return false;
  for (let i = 0; i < segmentation.count; i++) {
    const len = segmentation.pieceLen(i);
    const at = port.writer.reserve(len);
    if (at < 0) return false;
    segmentation.emit(i, port.writer.slab, at);
    port.writer.commit(len);
    port.sent(len);
  }
  return true;
}
