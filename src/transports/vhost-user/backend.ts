/**
 * The state of one vhost-user connection: what the frontend has set, message by message, and the
 * queues that run from it.
 *
 * Theory of operation
 * -------------------
 * A queue runs while everything about it is known: memory, size, addresses, a kick descriptor, and,
 * once protocol features are negotiated, that it is enabled. GET_VRING_BASE stops it. When the
 * memory or the addresses of a running queue change it is stopped and resumed where it was. The
 * device is notified of each start and stop; it holds no reference to a queue that has stopped, because
 * the memory is unmapped then.
 *
 * Descriptors that come with a message belong to the backend, which closes those it does not use.
 * An invalid message ends the connection, as in other backends: the frontend is a
 * virtual machine monitor, whose state cannot be guessed after an error.
 */
import { GuestMemory } from './guest-memory.ts';
import * as m from './message.ts';
import { SplitQueue } from './split-queue.ts';

/** What a vhost-user backend serves: a device's queues. */
export interface VirtioDevice {
  /** Of the device itself; the backend adds those of rings and of the protocol. */
  readonly features: bigint;
  readonly queueCount: number;
  /** The device's configuration space, as the driver reads it; empty where the frontend has it. */
  readonly config: Uint8Array;
  /**
   * @param resumed false when the driver has restarted: its earlier state is gone
   */
  onQueueStart(index: number, queue: SplitQueue, resumed: boolean, features: bigint): void;
  onQueueStop(index: number): void;
  /** The guest has put chains into a running queue. */
  onKick(index: number): void;
}

/** What is done with descriptors; a seam for tests. */
export interface FdPort {
  map(fd: number, region: m.MemoryRegion): Mapped | MapFault;
  /** Whether it is an event counter: neither watching nor signalling any other descriptor is safe. */
  isCounter(fd: number): boolean;
  /** Watch an event counter, which now belongs to the watch; it is emptied before each call. */
  watch(fd: number, onKick: () => void): { close(): void };
  signal(fd: number): void;
  close(fd: number): void;
}

export interface Mapped {
  view(off: number, len: number): Uint8Array;
  unmap(): void;
}

export type MapFault = 'not-a-memory-file' | 'memory-may-shrink' | 'map-failed';

export type BackendFault =
  | MapFault
  | 'malformed'
  | 'unknown-request'
  | 'unknown-feature'
  | 'no-such-queue'
  | 'bad-descriptors'
  | 'not-an-event-counter';

export interface BackendReply {
  /** To be sent when there are any. */
  readonly bytes: Uint8Array | undefined;
  /** The connection must end; `bytes` may still be an error reply. */
  readonly fault: BackendFault | undefined;
  /** Not done yet: call `proceed` before the next message, and have others served in between. */
  readonly isPending?: boolean;
}

class Vring {
  size = 0;
  addr: m.VringAddr | undefined = undefined;
  base = 0;
  /** The answer to the last GET_VRING_BASE; -1 before. */
  stoppedAt = -1;
  kick: { close(): void } | undefined = undefined;
  callFd = -1;
  errFd = -1;
  enabled = false;
  queue: SplitQueue | undefined = undefined;
}

const RING_FEATURES =
  m.bit(m.VIRTIO_F_VERSION_1) |
  m.bit(m.VIRTIO_F_INDIRECT_DESC) |
  m.bit(m.VIRTIO_F_EVENT_IDX) |
  m.bit(m.VHOST_USER_F_PROTOCOL_FEATURES);

const TAKE_DESCRIPTORS: ReadonlySet<number> = new Set([
  ...[m.SET_MEM_TABLE, m.SET_VRING_KICK, m.SET_VRING_CALL, m.SET_VRING_ERR],
]);

export class VhostUserBackend {
  private readonly device: VirtioDevice;
  private readonly fds: FdPort;
  private readonly vrings: readonly Vring[];
  private readonly ownProtocolFeatures: bigint;
  private features = 0n;
  private protocolFeatures = 0n;
  private memory: GuestMemory | undefined = undefined;
  /** The next memory, until all of it is mapped. */
  private mapping: GuestMemory | undefined = undefined;
  /** The request to acknowledge then. */
  private acked: number | undefined = undefined;
  private mapped: Mapped[] = [];

  constructor(device: VirtioDevice, fds: FdPort) {
    this.device = device;
    this.fds = fds;
    this.vrings = Array.from({ length: device.queueCount }, () => new Vring());
    const config = device.config.length > 0 ? m.PROTOCOL_F_CONFIG : 0;
    this.ownProtocolFeatures = BigInt(m.PROTOCOL_F_REPLY_ACK | config);
  }

  /** @param passed descriptors; they belong to the backend from now on */
  onMessage(header: DataView, payload: DataView, passed: readonly number[]): BackendReply {
    const request = m.requestOf(header);
    const fds = [...passed];
    const isStray = fds.length > 0 && !TAKE_DESCRIPTORS.has(request);
    const result = isStray ? 'bad-descriptors' : this.handle(request, payload, fds);
    for (const fd of fds) this.fds.close(fd);
    if (result instanceof Uint8Array) return { bytes: result, fault: undefined };
    const ack =
      m.wantsReply(header) && (this.protocolFeatures & BigInt(m.PROTOCOL_F_REPLY_ACK)) !== 0n;
    if (request === m.SET_MEM_TABLE && result === undefined) {
      this.acked = ack ? request : undefined;
      return this.proceed();
    }
    const bytes = ack ? m.u64Reply(request, result === undefined ? 0n : 1n) : undefined;
    return { bytes, fault: result };
  }

  /** Map some more of a memory; once all is mapped, the queues go on. */
  proceed(): BackendReply {
    const { mapping, acked } = this;
    if (mapping?.mapNext() === true) return { bytes: undefined, fault: undefined, isPending: true };
    this.memory = mapping;
    this.mapping = undefined;
    for (const index of this.vrings.keys()) this.startIfReady(index, true);
    return { bytes: acked === undefined ? undefined : m.u64Reply(acked, 0n), fault: undefined };
  }

  /** Notify the guest of used chains, if it wants notifications. */
  notify(index: number): void {
    const vring = this.vrings[index];
    if (vring?.queue?.shouldNotify() === true && vring.callFd >= 0) this.fds.signal(vring.callFd);
  }

  /** A running queue has a fault: notify the frontend. It stays broken until it is set up again. */
  reportFault(index: number): void {
    const vring = this.vrings[index];
    if (vring !== undefined && vring.errFd >= 0) this.fds.signal(vring.errFd);
  }

  /** The connection is over: stop all queues, release all descriptors and memory. */
  close(): void {
    this.reset();
    this.unmap();
  }

  /** @returns a reply, a fault, or undefined for done; takes from `fds` what it keeps */
  private handle(
    request: number,
    payload: DataView,
    fds: number[],
  ): Uint8Array | BackendFault | undefined {
    switch (request) {
      case m.GET_FEATURES:
        return m.u64Reply(request, this.device.features | RING_FEATURES);
      case m.SET_FEATURES:
        return this.setFeatures(payload);
      case m.GET_PROTOCOL_FEATURES:
        return m.u64Reply(request, this.ownProtocolFeatures);
      case m.SET_PROTOCOL_FEATURES: {
        const bits = m.featureBits(payload);
        if (bits === undefined) return 'malformed';
        if ((bits & ~this.ownProtocolFeatures) !== 0n) return 'unknown-feature';
        this.protocolFeatures = bits;
        return undefined;
      }
      case m.GET_QUEUE_NUM:
        return m.u64Reply(request, BigInt(this.device.queueCount));
      case m.SET_OWNER:
        return undefined;
      case m.RESET_OWNER:
        this.reset();
        return undefined;
      case m.SET_MEM_TABLE:
        return this.setMemory(payload, fds);
      case m.GET_CONFIG:
        return m.configReply(payload, this.device.config) ?? m.emptyReply(request);
      case m.SET_VRING_NUM:
      case m.SET_VRING_BASE:
      case m.SET_VRING_ENABLE:
        return this.setVring(request, payload);
      case m.GET_VRING_BASE:
        return this.stopVring(payload);
      case m.SET_VRING_ADDR:
        return this.setVringAddr(payload);
      case m.SET_VRING_KICK:
      case m.SET_VRING_CALL:
      case m.SET_VRING_ERR:
        return this.setVringFd(request, payload, fds);
    }
    return 'unknown-request';
  }

  private setFeatures(payload: DataView): BackendFault | undefined {
    const bits = m.featureBits(payload);
    if (bits === undefined) return 'malformed';
    if ((bits & ~(this.device.features | RING_FEATURES)) !== 0n) return 'unknown-feature';
    if (bits !== this.features) {
      // Another driver, whatever the indices say: a boot loader may have left them where they were.
      for (const vring of this.vrings) vring.stoppedAt = -1;
    }
    this.features = bits;
    return undefined;
  }

  private setMemory(payload: DataView, fds: number[]): BackendFault | undefined {
    const table = m.memoryTable(payload);
    if (table === undefined) return 'malformed';
    if (table.length !== fds.length) return 'bad-descriptors';
    for (const index of this.vrings.keys()) this.pause(index);
    this.unmap();
    const memory = new GuestMemory();
    for (const [i, region] of table.entries()) {
      const mapped = this.fds.map(fds[i] ?? -1, region);
      if (typeof mapped === 'string') {
        this.unmap();
        return mapped;
      }
      this.mapped.push(mapped);
      memory.add(region, (off, len) => mapped.view(off, len));
    }
    this.mapping = memory;
    return undefined;
  }

  private setVring(request: number, payload: DataView): BackendFault | undefined {
    const state = m.vringState(payload);
    if (state === undefined) return 'malformed';
    const vring = this.vrings[state.index];
    if (vring === undefined) return 'no-such-queue';
    if (request === m.SET_VRING_NUM) vring.size = state.num;
    else if (request === m.SET_VRING_BASE) vring.base = state.num & 0xffff;
    else {
      vring.enabled = state.num !== 0;
      if (!vring.enabled) this.pause(state.index);
      else this.startIfReady(state.index, vring.base === vring.stoppedAt);
    }
    return undefined;
  }

  private setVringAddr(payload: DataView): BackendFault | undefined {
    const addr = m.vringAddr(payload);
    if (addr === undefined) return 'malformed';
    const vring = this.vrings[addr.index];
    if (vring === undefined) return 'no-such-queue';
    const wasRunning = vring.queue !== undefined;
    this.pause(addr.index);
    vring.addr = addr;
    if (wasRunning) this.startIfReady(addr.index, true);
    return undefined;
  }

  private setVringFd(request: number, payload: DataView, fds: number[]): BackendFault | undefined {
    const target = m.vringFd(payload);
    if (target === undefined) return 'malformed';
    const { index, hasFd } = target;
    const vring = this.vrings[index];
    if (vring === undefined) return 'no-such-queue';
    if (fds.length !== (hasFd ? 1 : 0)) return 'bad-descriptors';
    if (fds.some((fd) => !this.fds.isCounter(fd))) return 'not-an-event-counter';
    const fd = fds.pop() ?? -1;
    if (request === m.SET_VRING_CALL) {
      if (vring.callFd >= 0) this.fds.close(vring.callFd);
      vring.callFd = fd;
    } else if (request === m.SET_VRING_ERR) {
      if (vring.errFd >= 0) this.fds.close(vring.errFd);
      vring.errFd = fd;
    } else {
      if (fd < 0) return 'bad-descriptors'; // asks for polling, which is not supported
      vring.kick?.close();
      vring.kick = this.fds.watch(fd, () => this.onKick(index));
      this.startIfReady(index, vring.base === vring.stoppedAt);
    }
    return undefined;
  }

  private onKick(index: number): void {
    if (this.vrings[index]?.queue !== undefined) this.device.onKick(index);
  }

  private stopVring(payload: DataView): Uint8Array | BackendFault {
    const state = m.vringState(payload);
    if (state === undefined) return 'malformed';
    const vring = this.vrings[state.index];
    if (vring === undefined) return 'no-such-queue';
    this.pause(state.index);
    vring.kick?.close();
    vring.kick = undefined;
    vring.stoppedAt = vring.base;
    return m.vringStateReply(m.GET_VRING_BASE, state.index, vring.base);
  }

  private startIfReady(index: number, resumed: boolean): void {
    const vring = this.vrings[index];
    const { memory } = this;
    if (vring === undefined || memory === undefined || vring.queue !== undefined) return;
    const { addr, kick, size, base } = vring;
    const enabled = vring.enabled || !this.has(m.VHOST_USER_F_PROTOCOL_FEATURES);
    if (addr === undefined || kick === undefined || size === 0 || !enabled) return;
    const eventIdx = this.has(m.VIRTIO_F_EVENT_IDX);
    vring.queue = new SplitQueue(memory, { ...addr, size, base, eventIdx });
    this.device.onQueueStart(index, vring.queue, resumed, this.features);
  }

  /** Take a queue out of service; it can be resumed where it was. */
  private pause(index: number): void {
    const vring = this.vrings[index];
    if (vring?.queue === undefined) return;
    this.device.onQueueStop(index);
    vring.base = vring.queue.nextAvail;
    vring.queue.retire();
    vring.queue = undefined;
  }

  private has(feature: number): boolean {
    return (this.features & m.bit(feature)) !== 0n;
  }

  private reset(): void {
    this.vrings.forEach((vring, index) => {
      this.pause(index);
      vring.kick?.close();
      vring.kick = undefined;
      if (vring.callFd >= 0) this.fds.close(vring.callFd);
      if (vring.errFd >= 0) this.fds.close(vring.errFd);
      vring.callFd = -1;
      vring.errFd = -1;
      vring.enabled = false;
      vring.stoppedAt = -1;
    });
  }

  private unmap(): void {
    this.memory = undefined;
    this.mapping = undefined;
    for (const mapped of this.mapped) mapped.unmap();
    this.mapped = [];
  }
}
