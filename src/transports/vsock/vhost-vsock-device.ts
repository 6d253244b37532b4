/**
 * The virtio-vsock device that QEMU shows to its guest (`vhost-user-vsock-pci`): three queues, of
 * which QEMU keeps the third, for events. Packets of the guest are taken from the transmit queue;
 * packets for it go into buffers of its receive queue.
 *
 * A burst is bounded, so that a guest that never stops sending does not keep the event loop. After a
 * fault in a ring the device is dead until the driver begins anew, and its streams end.
 */
import type { ByteRing } from '../../base/byte-ring.ts';
import type { Log } from '../../base/log.ts';
import { makeSlab, type Slab } from '../../base/slab.ts';
import type { Clock, Instant } from '../../base/time.ts';
import type { VhostUserBackend } from '../vhost-user/backend.ts';
import type { VhostUserDevice } from '../vhost-user/server.ts';
import type { QueueFault, SplitQueue } from '../vhost-user/split-queue.ts';
import {
  type PacketPayload,
  type PacketPort,
  VsockEndpoint,
  type VsockSettings,
} from './endpoint.ts';
import { VSOCK_HEADER_LEN } from './packet.ts';
import type { VsockRequest } from './stream.ts';

const RX = 0;
const TX = 1;
const QUEUES = 2;
const BURST_PACKETS = 64;

export interface VhostVsockDeviceOptions {
  readonly settings: VsockSettings;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
  /** Run `run` soon, after the events that are waiting. */
  readonly defer: (run: () => void) => void;
  /** `flush` of the endpoint may have changed its deadline. */
  readonly onFlushed: () => void;
  readonly onRequest: (now: Instant, request: VsockRequest) => void;
  /** The guest's driver runs, or has gone. */
  readonly onGuest: (up: boolean) => void;
}

export class VhostVsockDevice implements VhostUserDevice, PacketPort {
  readonly features: bigint = 0n;
  readonly protocolFeatures: number = 0;
  readonly queueCount: number = QUEUES;
  readonly config: Uint8Array;
  readonly endpoint: VsockEndpoint;
  /** Faults of rings since the start. */
  queueFaults = 0;
  private readonly options: VhostVsockDeviceOptions;
  private backend: VhostUserBackend | undefined = undefined;
  private rx: SplitQueue | undefined = undefined;
  private tx: SplitQueue | undefined = undefined;
  private guestUp = false;
  /** A chain of `rx` is taken for the next packet. */
  private reserved = false;
  /** No buffer was to be had; the guest was asked for a kick. */
  private starved = false;
  private drainDeferred = false;
  private readonly header: Slab = makeSlab(VSOCK_HEADER_LEN);
  private readonly payload: TxPayload = new TxPayload();
  private readonly drainLater = (): void => {
    this.drainDeferred = false;
    this.drain();
  };
  private readonly flushLater = (): void => this.flushNow();

  constructor(options: VhostVsockDeviceOptions) {
    this.options = options;
    const config = makeSlab(8);
    config.view.setUint32(0, options.settings.guestCid, true);
    this.config = config.bytes;
    this.endpoint = new VsockEndpoint(options.settings, this, options.onRequest);
  }

  /** The driver of a guest runs: streams can be opened. */
  get isUp(): boolean {
    return this.guestUp;
  }

  flushNow(): void {
    this.endpoint.flush(this.options.clock.now());
    this.options.onFlushed();
  }

  // --- the device, for the backend ---

  onConnect(backend: VhostUserBackend): void {
    this.backend = backend;
  }

  onDisconnect(): void {
    this.backend = undefined;
    this.setUp(false);
  }

  onQueueStart(index: number, queue: SplitQueue, resumed: boolean): void {
    if (index === RX) {
      this.rx = queue;
      this.starved = false;
    } else this.tx = queue;
    if (index === TX && !resumed) this.setUp(false); // what was there knows of no stream any more
    if (this.rx === undefined || this.tx === undefined) return;
    this.setUp(true);
    this.drain();
  }

  onQueueStop(index: number): void {
    this.backend?.notify(index);
    if (index === RX) {
      this.unreserve();
      this.rx = undefined;
    } else this.tx = undefined;
  }

  onKick(index: number): void {
    if (index === TX) this.drain();
    else if (this.starved) {
      this.starved = false;
      this.flushNow();
    }
  }

  // --- the port of the endpoint ---

  room(): number {
    const { rx } = this;
    if (rx === undefined || this.starved) return -1;
    if (!this.reserved && !this.reserve(rx)) {
      this.checkQueue(RX, rx);
      this.starved = true;
      return -1;
    }
    return rx.chain.writableLen - VSOCK_HEADER_LEN;
  }

  write(header: Uint8Array, payload: ByteRing | undefined, len: number): void {
    const { rx } = this;
    if (rx === undefined) return;
    rx.chain.write(0, header, 0, VSOCK_HEADER_LEN);
    if (payload !== undefined && len > 0) rx.chain.writeFrom(payload, VSOCK_HEADER_LEN, len);
    rx.give(rx.head, VSOCK_HEADER_LEN + len);
    this.reserved = false;
  }

  flush(): void {
    this.unreserve();
    this.backend?.notify(RX);
  }

  onWork(): void {
    this.options.defer(this.flushLater);
  }

  /** Take a buffer that holds a header; those that do not are given back empty. */
  private reserve(rx: SplitQueue): boolean {
    for (let tries = 0; tries < BURST_PACKETS; tries++) {
      while (!rx.take()) {
        // Nothing there: the next buffer is to come with a kick, unless it has come meanwhile.
        if (!rx.wantKick()) return false;
      }
      if (rx.chain.writableLen >= VSOCK_HEADER_LEN) {
        this.reserved = true;
        return true;
      }
      rx.give(rx.head, 0);
    }
    return false;
  }

  private unreserve(): void {
    if (this.reserved) this.rx?.untake();
    this.reserved = false;
  }

  private drain(): void {
    const { tx } = this;
    if (tx === undefined || this.drainDeferred) return;
    const now = this.options.clock.now();
    tx.suppressKicks();
    let taken = 0;
    let more = true;
    while (more) {
      for (; tx.take(); taken++) {
        if (taken === BURST_PACKETS) {
          tx.untake();
          break;
        }
        this.onChain(now, tx);
      }
      more = taken < BURST_PACKETS && tx.wantKick();
    }
    this.checkQueue(TX, tx);
    this.backend?.notify(TX);
    this.flushNow();
    if (taken < BURST_PACKETS || this.drainDeferred) return;
    this.drainDeferred = true;
    this.options.defer(this.drainLater);
  }

  private onChain(now: Instant, tx: SplitQueue): void {
    const { chain } = tx;
    if (chain.readableLen < VSOCK_HEADER_LEN) {
      this.endpoint.drops.add('truncated');
    } else {
      // Copied, for the guest can change it while it is being judged.
      chain.read(0, this.header.bytes, 0, VSOCK_HEADER_LEN);
      this.payload.queue = tx;
      this.endpoint.onPacket(now, this.header.view, this.payload);
    }
    tx.give(tx.head, 0);
  }

  private checkQueue(index: number, queue: SplitQueue): void {
    if (queue.broken === undefined || !this.guestUp) return;
    this.queueFaults++;
    const fault: QueueFault | undefined = this.backend?.reportFault(index);
    const { log, settings } = this.options;
    log.warn({ cid: settings.guestCid, queue: index, fault }, 'vsock device broken by its guest');
    this.setUp(false);
  }

  private setUp(up: boolean): void {
    if (this.guestUp === up) return;
    this.guestUp = up;
    if (!up) {
      this.endpoint.reset(this.options.clock.now());
      this.options.onFlushed();
    }
    this.options.onGuest(up);
  }
}

/** What follows the header in the chain just taken. */
class TxPayload implements PacketPayload {
  queue: SplitQueue | undefined = undefined;

  get length(): number {
    return (this.queue?.chain.readableLen ?? 0) - VSOCK_HEADER_LEN;
  }

  readInto(ring: ByteRing, len: number): boolean {
    return this.queue?.chain.readInto(ring, VSOCK_HEADER_LEN, len) ?? false;
  }
}
