/**
 * The virtual machine's own vsock, without kernel support or root: QEMU connects to a Unix socket of
 * ours and leaves the device to us.
 *
 *     qemu-system-x86_64 -object memory-backend-memfd,id=mem,size=1G,share=on -machine pc,memory-backend=mem \
 *       -m 1G -chardev socket,id=vsock,path=PATH -device vhost-user-vsock-pci,chardev=vsock
 *
 * We choose the guest's CID; QEMU has no option for it. QEMU does not reconnect: when we exit, the
 * device is dead until QEMU is restarted. When QEMU exits, the next one may connect.
 */

import { BufferPool } from '../../base/buffer-pool.ts';
import type { Log } from '../../base/log.ts';
import { plainCount } from '../../base/no-bytes.ts';
import { type Clock, type Instant, NEVER } from '../../base/time.ts';
import type { Posix } from '../../native/posix.ts';
import { PRIVATE_SOCKET_MODE } from '../../native/unix-listener.ts';
import { Turns } from '../../proxy/turns.ts';
import type { MachineMemory } from '../vhost-user/machine-memory.ts';
import { VhostUserServer } from '../vhost-user/server.ts';
import type { VsockSettings } from './endpoint.ts';
import type { VsockRequest, VsockStream, VsockStreamHandler } from './stream.ts';
import { VhostVsockDevice } from './vhost-vsock-device.ts';

export const DEFAULT_GUEST_CID = 3;
/** Linux guests have no more than 256 KiB in flight, whatever they are offered. */
const WINDOW = 256 << 10;
const SEND_BUFFER = 256 << 10;
const MAX_STREAMS = 1024;
const MEMORY_BUDGET = 64 << 20;
const CONNECT_TIMEOUT_MS = 10_000;
/** Above the ports that programs listen on. */
const FIRST_PORT = 0x4000_0000;

export interface VhostVsockOptions {
  /** Of the Unix socket to listen on. */
  readonly path: string;
  /** Its permission bits; 0600 when absent. */
  readonly socketMode?: number;
  /** Which memory of the machine is used; `sealed` when absent. */
  readonly memory?: MachineMemory;
  /** At least 3. */
  readonly guestCid?: number;
  readonly posix: Posix;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
  /** Shared with other links of the process. Default: its own. */
  readonly turns?: Turns;
  /** The guest connects to a port of the host. Absent: all are refused. */
  readonly onRequest?: (now: Instant, request: VsockRequest) => void;
  /** A guest's driver has come up, so that it can be connected to; or it has gone. */
  readonly onGuest?: (up: boolean) => void;
  readonly settings?: Partial<VsockSettings>;
}

export interface VhostVsockStats {
  readonly guestUp: boolean;
  readonly streamsOpen: number;
  readonly streamsOpened: number;
  readonly packetsToHost: number;
  readonly packetsToGuest: number;
  readonly bytesToHost: number;
  readonly bytesToGuest: number;
  readonly connectionsRefused: number;
  readonly protocolFaults: number;
  readonly queueFaults: number;
  readonly drops: Readonly<Record<string, number>>;
}

export class VhostVsock {
  readonly description: string;
  private readonly clock: Pick<Clock, 'now'>;
  private readonly device: VhostVsockDevice;
  private readonly server: VhostUserServer;
  private readonly wake: DeadlineTimer;

  private constructor(
    options: VhostVsockOptions,
    device: VhostVsockDevice,
    server: VhostUserServer,
    wake: DeadlineTimer,
  ) {
    this.description = `vhost-vsock:${options.path}`;
    this.clock = options.clock;
    this.device = device;
    this.server = server;
    this.wake = wake;
  }

  /** @throws LinkError, LinkInUseError when the socket cannot be listened on */
  static async open(options: VhostVsockOptions): Promise<VhostVsock> {
    const {
      path,
      posix,
      clock,
      log,
      socketMode = PRIVATE_SOCKET_MODE,
      memory = 'sealed',
    } = options;
    const wake = new DeadlineTimer(clock);
    const { turns = new Turns({ clock, owed: () => 0 }) } = options;
    const device = new VhostVsockDevice({
      settings: settingsOf(options),
      clock,
      log,
      turns,
      defer: setImmediate,
      onFlushed: () => wake.set(device.endpoint.nextDeadline, () => device.flushNow()),
      onRequest: options.onRequest ?? ((now, request) => request.refuse(now)),
      onGuest: (up) => {
        log.info({ link: `vhost-vsock:${path}` }, up ? 'guest vsock up' : 'guest vsock down');
        options.onGuest?.(up);
      },
    });
    const server = await VhostUserServer.open({
      path,
      socketMode,
      device: device.queues,
      posix,
      log,
      memory,
    });
    return new VhostVsock(options, device, server, wake);
  }

  /** Whether a guest's driver runs. */
  get isUp(): boolean {
    return this.device.isUp;
  }

  get stats(): VhostVsockStats {
    const { endpoint } = this.device;
    return {
      guestUp: this.device.isUp,
      streamsOpen: endpoint.streamsOpen,
      streamsOpened: endpoint.streamsOpened,
      packetsToHost: endpoint.packetsToHost,
      packetsToGuest: endpoint.packetsToGuest,
      bytesToHost: plainCount(endpoint.bytesToHost),
      bytesToGuest: plainCount(endpoint.bytesToGuest),
      connectionsRefused: this.server.refused,
      protocolFaults: this.server.faults,
      queueFaults: this.device.queueFaults,
      drops: endpoint.drops.snapshot(),
    };
  }

  /** @returns undefined when no guest is up, or there are too many streams */
  connect(guestPort: number, handler: VsockStreamHandler): VsockStream | undefined {
    if (!this.device.isUp) return undefined;
    return this.device.endpoint.connect(this.clock.now(), guestPort, handler);
  }

  /** End every stream and stop listening. */
  async close(): Promise<void> {
    await this.server.close();
    this.wake.set(NEVER, () => undefined);
  }
}

function settingsOf({ guestCid = DEFAULT_GUEST_CID, settings }: VhostVsockOptions): VsockSettings {
  return {
    guestCid,
    window: WINDOW,
    sendBuffer: SEND_BUFFER,
    maxStreams: MAX_STREAMS,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    // Not the ports of an earlier run, because the guest may still have streams on them.
    firstPort: FIRST_PORT + Math.floor(Math.random() * FIRST_PORT),
    pool: settings?.pool ?? new BufferPool(MEMORY_BUDGET),
    ...settings,
  };
}

/** One timer for the earliest deadline; it keeps no process alive. */
class DeadlineTimer {
  private readonly clock: Pick<Clock, 'now'>;
  private at: Instant = NEVER;
  private timer: NodeJS.Timeout | undefined = undefined;

  constructor(clock: Pick<Clock, 'now'>) {
    this.clock = clock;
  }

  set(at: Instant, onDue: () => void): void {
    if (at === this.at) return;
    clearTimeout(this.timer);
    this.at = at;
    this.timer = undefined;
    if (at === NEVER) return;
    this.timer = setTimeout(
      () => {
        this.at = NEVER;
        onDue();
      },
      Math.max(at - this.clock.now(), 0) + 1,
    ).unref();
  }
}
