/**
 * A Unix socket on which we serve a vhost-user device to virtual machine monitors, one at
 * a time: a second connection is closed at once, a new one is accepted when the first has ended.
 */
import { fstatSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import type { Log } from '../../base/log.ts';
import { makeSlab } from '../../base/slab.ts';
import { EAGAIN } from '../../native/constants.ts';
import type { Posix } from '../../native/posix.ts';
import { type Watch, watchAccepted, watchReadable } from '../../native/watch.ts';
import { closeServer, openServer } from '../stream-server.ts';
import { type FdPort, VhostUserBackend, type VirtioDevice } from './backend.ts';
import { checkHeader, HEADER_LEN, MAX_PAYLOAD_LEN, payloadLen, requestOf } from './message.ts';

/** Callbacks of a device while a frontend is connected. */
export interface VhostUserDevice extends VirtioDevice {
  /** Its queues will start and stop. @param backend to notify the guest by */
  onConnect(backend: VhostUserBackend): void;
  /** The frontend has gone; every queue has stopped. */
  onDisconnect(): void;
}

export interface VhostUserServerOptions {
  readonly path: string;
  readonly socketMode: number;
  readonly device: VhostUserDevice;
  readonly posix: Posix;
  readonly log: Log;
}

export class VhostUserServer {
  /** Connections ended because the frontend sent an invalid message, or memory that cannot be mapped. */
  faults = 0;
  /** Connections closed because another frontend is being served. */
  refused = 0;
  private readonly options: VhostUserServerOptions;
  private server: Server | undefined = undefined;
  private connection: Connection | undefined = undefined;

  private constructor(options: VhostUserServerOptions) {
    this.options = options;
  }

  /** @throws LinkError, LinkInUseError */
  static async open(options: VhostUserServerOptions): Promise<VhostUserServer> {
    const self = new VhostUserServer(options);
    self.server = await openServer({ path: options.path }, options.socketMode, (socket) =>
      self.onSocket(socket),
    );
    return self;
  }

  get connected(): boolean {
    return this.connection !== undefined;
  }

  async close(): Promise<void> {
    this.connection?.end(undefined);
    if (this.server !== undefined) await closeServer(this.server);
  }

  private onSocket(socket: Socket): void {
    const { path, log } = this.options;
    if (this.connection !== undefined) {
      this.refused++;
      log.warn({ path }, 'vhost-user connection refused: another frontend is connected');
      socket.destroy();
      return;
    }
    this.connection = new Connection(socket, this.options, (fault) => {
      this.connection = undefined;
      if (fault === undefined) return;
      this.faults++;
      log.warn({ path, fault }, 'vhost-user connection ended by a fault');
    });
  }
}

/** One frontend: its messages are read in two steps, so that descriptors come with their own. */
class Connection {
  private readonly posix: Posix;
  private readonly device: VhostUserDevice;
  private readonly backend: VhostUserBackend;
  private readonly onEnd: (fault: string | undefined) => void;
  private readonly watch: Watch;
  private readonly header = makeSlab(HEADER_LEN);
  private readonly payload = makeSlab(MAX_PAYLOAD_LEN);
  /** Bytes of header and payload received. */
  private got = 0;
  private fds: number[] = [];
  private ended = false;

  constructor(
    socket: Socket,
    { posix, device }: VhostUserServerOptions,
    onEnd: (fault: string | undefined) => void,
  ) {
    this.posix = posix;
    this.device = device;
    this.onEnd = onEnd;
    this.backend = new VhostUserBackend(device, new NativeFds(posix));
    this.watch = watchAccepted(socket, () => this.onReadable());
    device.onConnect(this.backend);
  }

  end(fault: string | undefined): void {
    if (this.ended) return;
    this.ended = true;
    this.watch.close();
    this.backend.close();
    for (const fd of this.fds) this.posix.close(fd);
    this.device.onDisconnect();
    this.onEnd(fault);
  }

  private onReadable(): void {
    while (!this.ended) {
      const { got } = this;
      const inHeader = got < HEADER_LEN;
      const need = inHeader ? HEADER_LEN - got : HEADER_LEN + payloadLen(this.header.view) - got;
      const into = inHeader ? this.header : this.payload;
      const at = inHeader ? got : got - HEADER_LEN;
      const len =
        need === 0 ? 0 : this.posix.receiveWithFds(this.watch.fd, into.bytes, at, need, this.fds);
      if (len === -EAGAIN) return;
      if (len < 0) this.end(`receive failed (errno ${-len})`);
      else if (len === 0 && need > 0) this.end(got === 0 ? undefined : 'ended within a message');
      else this.onBytes(got + len);
    }
  }

  private onBytes(got: number): void {
    this.got = got;
    if (got < HEADER_LEN) return;
    const fault = checkHeader(this.header.view);
    if (fault !== undefined) {
      this.end(fault);
      return;
    }
    const len = payloadLen(this.header.view);
    if (got < HEADER_LEN + len) return;
    this.got = 0;
    const { fds } = this;
    this.fds = [];
    const payload = new DataView(this.payload.bytes.buffer, 0, len);
    const reply = this.backend.onMessage(this.header.view, payload, fds);
    const { bytes } = reply;
    if (bytes !== undefined && this.posix.write(this.watch.fd, bytes, 0, bytes.length) < 0) {
      this.end('cannot reply'); // a few bytes into an empty socket
      return;
    }
    if (reply.fault !== undefined) {
      this.end(`${reply.fault}: request ${requestOf(this.header.view)}`);
    }
  }
}

class NativeFds implements FdPort {
  private readonly posix: Posix;
  private readonly counter = new Uint8Array(8);
  private readonly one = new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]);

  constructor(posix: Posix) {
    this.posix = posix;
  }

  map(fd: number, { fileOffset, len }: { fileOffset: number; len: number }) {
    // Pages beyond the end of the file would kill the process when touched.
    if (fstatSync(fd).size < fileOffset + len) throw new RangeError('memory file too short');
    // An offset need not be a multiple of the page size: the mapping begins at the file's start.
    const mapping = this.posix.mapShared(fd, 0, fileOffset + len);
    return {
      view: (off: number, viewLen: number) => mapping.view(fileOffset + off, viewLen),
      unmap: () => mapping.unmap(),
    };
  }

  watch(fd: number, onKick: () => void): Watch {
    const watch = watchReadable(fd, () => {
      this.posix.read(fd, this.counter, 0, 8);
      onKick();
    });
    return watch;
  }

  signal(fd: number): void {
    this.posix.write(fd, this.one, 0, 8);
  }

  close(fd: number): void {
    this.posix.close(fd);
  }
}
