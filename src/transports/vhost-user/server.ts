/**
 * A Unix socket on which we serve a vhost-user device to virtual machine monitors, one at
 * a time: a second connection is closed at once, a new one is accepted when the first has ended.
 */
import type { Server, Socket } from 'node:net';
import type { Log } from '../../base/log.ts';
import { makeSlab } from '../../base/slab.ts';
import { EAGAIN, ETOOMANYREFS } from '../../native/constants.ts';
import type { FdReceiver, Posix } from '../../native/posix.ts';
import { acceptDescriptors } from '../../native/refuse-descriptors.ts';
import { type Watch, watchAccepted } from '../../native/watch.ts';
import { closeServer, openServer } from '../stream-server.ts';
import {
  type BackendFault,
  type BackendReply,
  VhostUserBackend,
  type VirtioDevice,
} from './backend.ts';
import type { MachineMemory } from './machine-memory.ts';
import {
  checkHeader,
  HEADER_LEN,
  MAX_PAYLOAD_LEN,
  MAX_REGIONS,
  payloadLen,
  requestOf,
  SET_MEM_TABLE,
} from './message.ts';
import { PassedDescriptors } from './passed-descriptors.ts';

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
  readonly memory: MachineMemory;
}

/** Messages read in one turn of the event loop; a table of memory is the last. QEMU needs about 30 to start a device. */
const MESSAGES_PER_TURN = 16;

/** How much longer than mapping memory took others are served before the next. */
const REST = 4;

const ADVICE: Partial<Record<BackendFault, string>> = {
  'not-a-memory-file':
    'the machine needs its memory in a file: -object memory-backend-memfd,share=on',
  'memory-may-shrink':
    'the machine could take its memory away, which would end this process: use -object memory-backend-memfd,share=on, which is sealed, or start hawser with --vhost-memory any if whoever runs the machine is trusted',
};

export class VhostUserServer {
  /** Connections ended because the frontend sent an invalid message, or memory that cannot be mapped. */
  faults = 0;
  /** Connections closed because another frontend is being served. */
  refused = 0;
  /** Why no frontend is served any more. */
  failure: string | undefined = undefined;
  private readonly passed: PassedDescriptors;
  private readonly options: VhostUserServerOptions;
  private server: Server | undefined = undefined;
  private connection: Connection | undefined = undefined;

  private constructor(options: VhostUserServerOptions) {
    this.options = options;
    this.passed = new PassedDescriptors(options.posix, options.memory);
    void options.posix.eventCounters; // made now: a sandbox forbids it later
  }

  /** @throws LinkError, LinkInUseError */
  static async open(options: VhostUserServerOptions): Promise<VhostUserServer> {
    const self = new VhostUserServer(options);
    self.server = await openServer({ path: options.path }, options.socketMode, (socket) =>
      self.onSocket(socket),
    );
    acceptDescriptors(self.server);
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
    const { path, log, posix } = this.options;
    if (this.connection !== undefined || this.failure !== undefined) {
      this.refused++;
      log.warn({ path }, 'vhost-user connection refused: another frontend is connected');
      const watch = watchAccepted(socket, () => {});
      this.passed.closeConnection(watch, posix.makeFdReceiver(watch.fd));
    } else {
      this.connection = new Connection(socket, this.options, this.passed, (fault, advice) => {
        this.connection = undefined;
        this.checkDescriptors();
        if (fault === undefined) return;
        this.faults++;
        log.warn({ path, fault, advice }, 'vhost-user connection ended by a fault');
      });
    }
    this.checkDescriptors();
  }

  private checkDescriptors(): void {
    const { server, passed, options } = this;
    if (!passed.isFull || server === undefined || this.failure !== undefined) return;
    this.failure = 'its frontends passed descriptors that cannot be closed; restart hawser';
    options.log.error({ path: options.path }, `vhost-user socket closed: ${this.failure}`);
    server.close();
  }
}

type OnEnd = (fault: string | undefined, advice: string | undefined) => void;

/** One frontend: its messages are read in two steps, so that descriptors come with their own. */
class Connection {
  private readonly posix: Posix;
  private readonly device: VhostUserDevice;
  private readonly backend: VhostUserBackend;
  private readonly passed: PassedDescriptors;
  private readonly onEnd: OnEnd;
  private readonly watch: Watch;
  private readonly receiver: FdReceiver;
  private readonly header = makeSlab(HEADER_LEN);
  private readonly payload = makeSlab(MAX_PAYLOAD_LEN);
  /** Bytes of header and payload received. */
  private got = 0;
  /** Messages that may be read in this turn. */
  private budget = 0;
  private fds: number[] = [];
  private ended = false;

  constructor(
    socket: Socket,
    { posix, device }: VhostUserServerOptions,
    passed: PassedDescriptors,
    onEnd: OnEnd,
  ) {
    this.posix = posix;
    this.device = device;
    this.passed = passed;
    this.onEnd = onEnd;
    this.backend = new VhostUserBackend(device, passed);
    this.watch = watchAccepted(socket, () => this.onReadable());
    this.receiver = posix.makeFdReceiver(this.watch.fd);
    device.onConnect(this.backend);
  }

  end(fault: string | undefined, advice?: string): void {
    if (this.ended) return;
    this.ended = true;
    this.backend.close();
    for (const fd of this.fds) this.passed.close(fd);
    this.passed.closeConnection(this.watch, this.receiver);
    this.device.onDisconnect();
    this.onEnd(fault, advice);
  }

  private onReadable(): void {
    this.budget = MESSAGES_PER_TURN;
    while (!this.ended && this.budget > 0) {
      const { got } = this;
      const inHeader = got < HEADER_LEN;
      const need = inHeader ? HEADER_LEN - got : HEADER_LEN + payloadLen(this.header.view) - got;
      const into = inHeader ? this.header : this.payload;
      const at = inHeader ? got : got - HEADER_LEN;
      const len = need === 0 ? 0 : this.receiver.receive(into.bytes, at, need, this.fds);
      if (len === -EAGAIN) return;
      if (len === -ETOOMANYREFS || this.fds.length > MAX_REGIONS) this.end('too many descriptors');
      else if (len < 0) this.end(`receive failed (errno ${-len})`);
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
    this.budget--;
    const request = requestOf(this.header.view);
    if (request === SET_MEM_TABLE) this.budget = 0;
    const { fds } = this;
    this.fds = [];
    const payload = new DataView(this.payload.bytes.buffer, 0, len);
    const start = performance.now();
    const reply = this.backend.onMessage(this.header.view, payload, fds);
    if (request === SET_MEM_TABLE && reply.fault === undefined) this.rest(start, reply, request);
    else this.answer(reply, request);
  }

  /** Others are served before this frontend again, for longer than it took. */
  private rest(start: number, reply: BackendReply, request: number): void {
    this.watch.pause();
    setTimeout(
      () => {
        if (this.ended) return;
        if (this.posix.isBroken(this.watch.fd)) {
          this.end(undefined);
          return;
        }
        const again = performance.now();
        if (reply.isPending === true) {
          this.rest(again, this.backend.proceed(), request);
          return;
        }
        this.answer(reply, request);
        this.watch.resume();
      },
      REST * (performance.now() - start),
    );
  }

  private answer(reply: BackendReply, request: number): void {
    const { bytes } = reply;
    // A few bytes into a socket that is empty, if the frontend reads replies.
    const isSent =
      bytes === undefined ||
      this.posix.write(this.watch.fd, bytes, 0, bytes.length) === bytes.length;
    if (reply.fault !== undefined) {
      this.end(`${reply.fault}: request ${request}`, ADVICE[reply.fault]);
    } else if (!isSent) this.end('cannot reply');
  }
}
