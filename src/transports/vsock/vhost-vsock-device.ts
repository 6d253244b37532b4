/**
 * The virtio-vsock device that QEMU shows to its guest (`vhost-user-vsock-pci`): three queues, of
 * which QEMU keeps the third, for events. Packets of the guest are taken from the transmit queue;
 * packets for it go into buffers of its receive queue. When the device goes down its streams end.
 */
import type { ByteRing } from '../../base/byte-ring.ts';
import type { Log } from '../../base/log.ts';
import { makeSlab, type Slab } from '../../base/slab.ts';
import type { Clock, Instant } from '../../base/time.ts';
import type { Turns } from '../../proxy/turns.ts';
import type { Chain } from '../vhost-user/chain.ts';
import { type PairDevice, QueuePair } from '../vhost-user/queue-pair.ts';
import type { QueueFault } from '../vhost-user/split-queue.ts';
import {
  type PacketPayload,
  type PacketPort,
  VsockEndpoint,
  type VsockSettings,
} from './endpoint.ts';
import { VSOCK_HEADER_LEN } from './packet.ts';
import type { VsockRequest } from './stream.ts';

/** Buffers without room for a header that are given back in search of one. */
const MAX_USELESS_BUFFERS = 64;

export interface VhostVsockDeviceOptions {
  readonly settings: VsockSettings;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
  readonly turns: Turns;
  /** Run `run` soon, after the events that are waiting. */
  readonly defer: (run: () => void) => void;
  /** `flush` of the endpoint may have changed its deadline. */
  readonly onFlushed: () => void;
  readonly onRequest: (now: Instant, request: VsockRequest) => void;
  /** The guest's driver runs, or has gone. */
  readonly onGuest: (up: boolean) => void;
}

export class VhostVsockDevice implements PairDevice, PacketPort {
  readonly queues: QueuePair;
  readonly endpoint: VsockEndpoint;
  /** Faults of rings since the start. */
  queueFaults = 0;
  private readonly options: VhostVsockDeviceOptions;
  private readonly header: Slab = makeSlab(VSOCK_HEADER_LEN);
  private readonly payload: TxPayload = new TxPayload();
  private readonly flushLater = (): void => this.flushNow();

  constructor(options: VhostVsockDeviceOptions) {
    this.options = options;
    const { settings, clock, turns, defer } = options;
    const config = makeSlab(8);
    config.view.setUint32(0, settings.guestCid, true);
    this.queues = new QueuePair({
      device: this,
      features: 0n,
      config: config.bytes,
      clock,
      turns,
      defer,
    });
    this.endpoint = new VsockEndpoint(settings, this, options.onRequest);
  }

  /** The driver of a guest runs: streams can be opened. */
  get isUp(): boolean {
    return this.queues.isUp;
  }

  flushNow(): void {
    this.endpoint.flush(this.options.clock.now());
    this.options.onFlushed();
  }

  // --- the device, for its queues ---

  onUp(): void {
    this.options.onGuest(true);
  }

  onDown(now: Instant, fault: QueueFault | undefined): void {
    const { log, settings, onFlushed, onGuest } = this.options;
    if (fault !== undefined) {
      this.queueFaults++;
      log.warn({ cid: settings.guestCid, fault }, 'vsock device broken by its guest');
    }
    this.endpoint.reset(now);
    onFlushed();
    onGuest(false);
  }

  onChain(now: Instant, chain: Chain): void {
    if (chain.readableLen < VSOCK_HEADER_LEN) {
      this.endpoint.drops.add('truncated');
      return;
    }
    // Copied, because the guest can change it while it is being checked.
    chain.read(0, this.header.bytes, 0, VSOCK_HEADER_LEN);
    this.payload.chain = chain;
    this.endpoint.onPacket(now, this.header.view, this.payload);
  }

  onBurstEnd(): void {
    this.flushNow();
  }

  onRoom(): void {
    this.flushNow();
  }

  // --- the port of the endpoint ---

  room(): number {
    for (let useless = 0; useless < MAX_USELESS_BUFFERS; useless++) {
      const room = this.queues.reserve(VSOCK_HEADER_LEN, 1);
      if (room < 0) return -1;
      if (room >= VSOCK_HEADER_LEN) return room - VSOCK_HEADER_LEN;
      this.queues.buffers?.give(0);
    }
    return -1;
  }

  write(header: Uint8Array, payload: ByteRing | undefined, len: number): void {
    const { buffers } = this.queues;
    if (buffers === undefined) return;
    buffers.write(0, header, 0, VSOCK_HEADER_LEN);
    if (payload !== undefined && len > 0) buffers.writeFrom(payload, VSOCK_HEADER_LEN, len);
    buffers.give(VSOCK_HEADER_LEN + len);
  }

  flush(): void {
    this.queues.buffers?.putBack();
    this.queues.notify();
  }

  onWork(): void {
    this.options.defer(this.flushLater);
  }
}

/** What follows the header in the chain just taken. */
class TxPayload implements PacketPayload {
  chain: Chain | undefined = undefined;

  get length(): number {
    return (this.chain?.readableLen ?? 0) - VSOCK_HEADER_LEN;
  }

  readInto(ring: ByteRing, len: number): boolean {
    return this.chain?.readInto(ring, VSOCK_HEADER_LEN, len) ?? false;
  }
}
