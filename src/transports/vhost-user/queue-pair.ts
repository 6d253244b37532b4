/**
 * The common part of devices with two queues (a vsock, a network card): a queue in which the guest
 * lends buffers for what it receives, and one for what it sends.
 *
 * Theory of operation
 * -------------------
 * The device is up while a driver runs both queues. It stays up while they are paused; a driver that
 * restarts, and one that breaks a ring, takes it down. After a fault it is dead until the driver
 * restarts.
 *
 * Towards the host: a kick has the chains of the transmit queue presented one by one, and one
 * `onBurstEnd`. A burst is bounded, and ends with the device's share of the turn, so that a guest that never
 * stops sending does not keep the event loop. Towards the guest: `reserve`, write into the buffers, `give`, and `notify` once per batch.
 * When there are too few buffers the guest is asked for a kick, which `onRoom` reports.
 */
import type { Clock, Instant } from '../../base/time.ts';
import type { TurnShare, Turns, TurnWork } from '../../proxy/turns.ts';
import type { VhostUserBackend } from './backend.ts';
import type { Chain } from './chain.ts';
import { ReceiveBuffers } from './receive-buffers.ts';
import type { VhostUserDevice } from './server.ts';
import type { QueueFault, SplitQueue } from './split-queue.ts';

const RX = 0;
const TX = 1;
const BURST_CHAINS = 64;

/** What a device does with its queues. */
export interface PairDevice {
  /** @param features those that the driver has accepted */
  onUp(now: Instant, features: bigint): void;
  /** @param fault of a ring; undefined when the driver has gone or restarts */
  onDown(now: Instant, fault: QueueFault | undefined): void;
  /** A chain of the guest, which can change it at any time; given back after the return. */
  onChain(now: Instant, chain: Chain): void;
  onBurstEnd(now: Instant): void;
  /** There may be buffers again, after `reserve` returned -1. */
  onRoom(now: Instant): void;
}

export interface QueuePairOptions {
  readonly device: PairDevice;
  readonly features: bigint;
  readonly config: Uint8Array;
  readonly clock: Pick<Clock, 'now'>;
  readonly turns: Turns;
  /** Run `run` soon, after the events that are waiting. */
  readonly defer: (run: () => void) => unknown;
}

export class QueuePair implements VhostUserDevice, TurnWork {
  readonly features: bigint;
  readonly config: Uint8Array;
  readonly queueCount = 2;
  private readonly device: PairDevice;
  private readonly clock: Pick<Clock, 'now'>;
  private readonly defer: (run: () => void) => unknown;
  private backend: VhostUserBackend | undefined = undefined;
  private rx: ReceiveBuffers | undefined = undefined;
  private tx: SplitQueue | undefined = undefined;
  private up = false;
  /** Too few buffers were available; the guest was asked for a kick. */
  private starved = false;
  private readonly share: TurnShare;
  private readonly checkLater = (): void => this.checkQueues();

  constructor(options: QueuePairOptions) {
    this.features = options.features;
    this.config = options.config;
    this.device = options.device;
    this.clock = options.clock;
    this.defer = options.defer;
    this.share = options.turns.join(this);
  }

  /** A driver runs the device. */
  get isUp(): boolean {
    return this.up;
  }

  // --- towards the guest ---

  /**
   * Take buffers for `len` bytes, in up to `maxChains` chains; what was reserved before and not given
   * is put back.
   *
   * @returns bytes in the buffers, which is less than `len` when those chains hold less; -1 when there
   * are too few buffers now
   */
  reserve(len: number, maxChains: number): number {
    const { rx } = this;
    if (rx === undefined || !this.up || this.starved) return -1;
    const room = rx.take(len, maxChains);
    if (room >= 0) return room;
    this.starved = true;
    // Not at once: the caller of `reserve` would be re-entered.
    if (rx.queue.broken !== undefined) this.defer(this.checkLater);
    return -1;
  }

  /** Less than a quarter of the guest's buffers is left. */
  get isCrowded(): boolean {
    return this.rx?.queue.isShort ?? true;
  }

  /** What is reserved, to be written; undefined while the queue is stopped. */
  get buffers(): ReceiveBuffers | undefined {
    return this.rx;
  }

  /** Notify the guest of used buffers, if it wants notifications. */
  notify(): void {
    this.backend?.notify(RX);
  }

  // --- the device, for the backend ---

  onConnect(backend: VhostUserBackend): void {
    this.backend = backend;
  }

  onDisconnect(): void {
    this.backend = undefined;
    this.goDown(undefined);
  }

  onQueueStart(index: number, queue: SplitQueue, resumed: boolean, features: bigint): void {
    if (!resumed) this.goDown(undefined); // the state of the previous driver is void
    if (index === RX) {
      this.rx = new ReceiveBuffers(queue);
      this.starved = false;
    } else this.tx = queue;
    if (this.rx === undefined || this.tx === undefined) return;
    const now = this.clock.now();
    if (this.up) this.device.onRoom(now);
    else {
      this.up = true;
      this.device.onUp(now, features);
    }
    this.drain();
  }

  onQueueStop(index: number): void {
    this.backend?.notify(index);
    if (index === RX) {
      this.rx?.putBack();
      this.rx = undefined;
    } else this.tx = undefined;
  }

  onKick(index: number): void {
    if (!this.up) return;
    if (index === TX) this.drain();
    else if (this.starved) {
      this.starved = false;
      this.rx?.queue.suppressKicks();
      this.device.onRoom(this.clock.now());
      this.checkQueues();
    }
  }

  onTurn(): void {
    this.drain();
  }

  private drain(): void {
    const { tx, share } = this;
    const now = this.clock.now();
    if (tx === undefined || !this.up || !share.begin(now)) return;
    tx.suppressKicks();
    let taken = 0;
    let isCut = false;
    do {
      while (!isCut && tx.take()) {
        this.device.onChain(now, tx.chain);
        tx.give(tx.head, 0);
        taken++;
        isCut = taken === BURST_CHAINS || !share.more();
      }
    } while (!isCut && tx.wantKick());
    this.backend?.notify(TX);
    this.device.onBurstEnd(now);
    this.checkQueues();
    share.end(isCut);
  }

  private checkQueues(): void {
    if (!this.up) return;
    const { rx, tx } = this;
    const fault = rx?.queue.broken ?? tx?.broken;
    if (fault === undefined) return;
    this.backend?.reportFault(rx?.queue.broken === undefined ? TX : RX);
    this.goDown(fault);
  }

  private goDown(fault: QueueFault | undefined): void {
    if (!this.up) return;
    this.up = false;
    this.device.onDown(this.clock.now(), fault);
  }
}
