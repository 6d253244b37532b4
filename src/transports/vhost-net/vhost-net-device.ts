/**
 * The network card that QEMU presents to its guest when we transfer its frames in the guest's
 * memory (`-netdev vhost-user`).
 *
 * Theory of operation
 * -------------------
 * Each frame has a virtio-net header before it, by which checksums and segmentation are left to
 * the receiver, as with a TAP. A frame is copied once, between guest memory and a slab of ours:
 * the guest can change its memory while a frame is parsed, buffers are scattered, and checksums are
 * fast in our slabs. Every run of a driver is a link of its own, because the next may negotiate other features.
 */
import { assert } from '../../base/assert.ts';
import { makePacketSlab, releaseSlab, type Slab } from '../../base/slab.ts';
import type { Instant } from '../../base/time.ts';
import {
  emitPlainHeader,
  emitWorkHeader,
  readVnetHeader,
  VNET_HDR_LEN,
} from '../../native/vnet-header.ts';
import { Frame, type FrameWork } from '../../stack/frame.ts';
import type { FrameReader, FrameWriter } from '../../stack/link.ts';
import { ETHERNET_HEADER_LEN } from '../../wire/ethernet.ts';
import { MAX_FRAME_LEN } from '../framing.ts';
import type { LinkContext } from '../link-context.ts';
import { LinkStats } from '../link-stats.ts';
import type { Chain } from '../vhost-user/chain.ts';
import { type PairDevice, QueuePair } from '../vhost-user/queue-pair.ts';
import type { QueueFault } from '../vhost-user/split-queue.ts';
import { countsBuffers, mergesBuffers, NET_FEATURES, takesOffload } from './net-features.ts';

/** Offset of frames in our slabs: room for the header, and the IP header on an 8-byte boundary. */
const FRAME_AT = 18;
/** Of the count of buffers that ends the longer header. */
const NUM_BUFFERS_AT = FRAME_AT - 2;
const NUM_BUFFERS_LEN = 2;
/** The longest frame, in the smallest buffers that a driver lends for frames of 1500 bytes. */
const MAX_MERGED = 64;

export class VhostNetDevice implements PairDevice, FrameWriter {
  readonly queues: QueuePair;
  readonly stats: LinkStats = new LinkStats();
  readonly slab: Slab = makePacketSlab(FRAME_AT + MAX_FRAME_LEN);
  offload = false;
  private readonly description: string;
  private readonly context: LinkContext;
  private readonly frame = new Frame();
  private readonly received: Slab = makePacketSlab(FRAME_AT + MAX_FRAME_LEN);
  private reader: FrameReader | undefined = undefined;
  private serial = 0;
  private headerLen = VNET_HDR_LEN;
  private maxMerged = 1;
  /** Bytes in the buffers reserved. */
  private room = 0;

  /** @param defer runs its argument soon, after the events that are waiting */
  constructor(description: string, context: LinkContext, defer: (run: () => void) => unknown) {
    this.description = description;
    this.context = context;
    this.queues = new QueuePair({
      device: this,
      features: NET_FEATURES,
      config: new Uint8Array(0), // QEMU has it
      clock: context.clock,
      turns: context.turns,
      defer,
    });
  }

  /** Give the slabs back, once nothing is served any more. */
  release(): void {
    releaseSlab(this.slab);
    releaseSlab(this.received);
  }

  // --- the device, for its queues ---

  onUp(now: Instant, features: bigint): void {
    const { context, stats } = this;
    this.offload = takesOffload(features);
    this.maxMerged = mergesBuffers(features) ? MAX_MERGED : 1;
    this.headerLen = VNET_HDR_LEN + (countsBuffers(features) ? NUM_BUFFERS_LEN : 0);
    const link = `${this.description}#${++this.serial}`;
    this.reader = context.acceptor.attach(now, link, this);
    if (this.reader === undefined) {
      stats.drops.add('too-many-links');
      context.log.warn({ link }, 'guest refused: too many links');
      return;
    }
    stats.linksOpen = 1;
    stats.linksOpened++;
    context.log.info({ link, offload: this.offload }, 'guest link up');
  }

  onDown(now: Instant, fault: QueueFault | undefined): void {
    const { reader, context, stats } = this;
    const link = `${this.description}#${this.serial}`;
    if (fault !== undefined) {
      stats.drops.add('queue-fault');
      context.log.warn(
        { link, fault },
        'network card broken by its guest, until its driver restarts',
      );
    }
    if (reader === undefined) return;
    this.reader = undefined;
    stats.linksOpen = 0;
    context.log.info({ link }, 'guest link down');
    reader.onLinkDown(now);
  }

  onChain(now: Instant, chain: Chain): void {
    const { stats, frame, received, headerLen } = this;
    const headerAt = FRAME_AT - headerLen;
    const len = chain.readableLen - headerLen;
    if (len < ETHERNET_HEADER_LEN) stats.drops.add('runt-frame');
    else if (len > MAX_FRAME_LEN) stats.drops.add('oversized-frame');
    else {
      stats.framesToHost++;
      stats.bytesToHost += len;
      chain.read(0, received.bytes, headerAt, headerLen + len);
      frame.set(received, FRAME_AT, len);
      if (readVnetHeader(received.view, headerAt, frame)) this.reader?.onFrame(now, frame);
      else stats.drops.add('bad-offload');
    }
  }

  onBurstEnd(now: Instant): void {
    this.reader?.onBatchEnd(now);
  }

  onRoom(now: Instant): void {
    this.reader?.onWritable(now);
  }

  // --- the writer, for the stack ---

  get isCrowded(): boolean {
    return this.queues.isCrowded;
  }

  reserve(maxLen: number): number {
    assert(maxLen <= MAX_FRAME_LEN, 'frame too long for the link');
    this.room = this.queues.reserve(this.headerLen + maxLen, this.maxMerged);
    if (this.room >= 0) return FRAME_AT;
    this.stats.stalls++;
    return -1;
  }

  commit(len: number): void {
    if (len === 0) {
      this.queues.buffers?.putBack();
      return;
    }
    emitPlainHeader(this.slab.view, FRAME_AT - this.headerLen);
    this.send(len);
  }

  commitOffload(len: number, work: FrameWork): void {
    assert(this.offload, 'the guest takes no frames to be completed');
    emitWorkHeader(this.slab.view, FRAME_AT - this.headerLen, work);
    this.send(len);
  }

  flush(): void {
    this.queues.notify();
  }

  private send(len: number): void {
    const { stats, slab, headerLen } = this;
    const { buffers } = this.queues;
    if (buffers === undefined) return;
    const total = headerLen + len;
    if (total > this.room) {
      buffers.putBack();
      stats.drops.add('guest-buffer-too-small');
      return;
    }
    if (headerLen > VNET_HDR_LEN) {
      slab.view.setUint16(NUM_BUFFERS_AT, buffers.chainsFor(total), true);
    }
    buffers.write(0, slab.bytes, FRAME_AT - headerLen, total);
    buffers.give(total);
    stats.framesToGuest++;
    stats.bytesToGuest += len;
  }
}
