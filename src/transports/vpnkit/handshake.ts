/**
 * The server's side of one VMN3T handshake, up to the client's command. States: `init`, `command`, then `done`, when
 * the stream is paused and its next owner may start it, or `over`.
 */
import type { HostStream, HostStreamOwner } from '../../native/stream/host-stream.ts';
import {
  emitVmn3tDisconnect,
  emitVmn3tInit,
  isVmn3t,
  isVmn3tCommand,
  readVmn3tCommand,
  VMN3T_COMMAND_LEN,
  VMN3T_INIT_LEN,
  VMN3T_MAGIC_LEN,
  VMN3T_RESPONSE_LEN,
  VMN3T_VERSION,
  type Vmn3tCommand,
  vmn3tVersion,
} from '../../wire/vmn3t.ts';
import { refuseStream } from '../socket-link.ts';

export interface HandshakeEvents {
  /** @param early what the client has sent behind its command */
  onCommand(command: Vmn3tCommand, early: Uint8Array): void;
  /** It is another protocol or version, or makes no sense. @param why undefined: the client has left */
  onFailed(why: string | undefined): void;
}

/** More than this comes only while our INIT waits to be written, and then waits too. */
const HELD_MAX = 4_096;

const INIT = new Uint8Array(VMN3T_INIT_LEN);
emitVmn3tInit(INIT);

export class Handshake implements HostStreamOwner {
  private readonly stream: HostStream;
  private readonly events: HandshakeEvents;
  private state: 'init' | 'command' | 'done' | 'over' = 'init';
  private held = new Uint8Array(0);
  /** Our INIT is still being written. */
  private isWriting = false;

  constructor(stream: HostStream, events: HandshakeEvents) {
    this.stream = stream;
    this.events = events;
  }

  start(): void {
    this.stream.start(this);
  }

  /** Give up. */
  close(): void {
    if (this.state === 'over') return;
    this.state = 'over';
    this.stream.close();
  }

  onHostBytes(bytes: Uint8Array, len: number): boolean {
    const held = new Uint8Array(this.held.length + len);
    held.set(this.held);
    held.set(bytes.subarray(0, len), this.held.length);
    this.held = held;
    this.proceed();
    const isAtIt = this.state === 'init' || this.state === 'command';
    return isAtIt && this.held.length < HELD_MAX;
  }

  onHostWritten(): void {
    this.isWriting = false;
    this.proceed();
  }

  onHostEnd(): void {
    this.fail(undefined);
    this.stream.close();
  }

  onHostClosed(): void {
    this.fail(undefined);
  }

  private proceed(): void {
    if (this.state === 'init') this.readInit();
    if (this.state === 'command' && !this.isWriting) this.readCommand();
  }

  private readInit(): void {
    const { held, stream } = this;
    const view = new DataView(held.buffer, held.byteOffset, held.length);
    if (held.length >= VMN3T_MAGIC_LEN && !isVmn3t(view)) {
      this.fail('it does not speak VMN3T');
      stream.close();
      return;
    }
    if (held.length < VMN3T_INIT_LEN) return;
    const version = vmn3tVersion(view);
    if (version !== VMN3T_VERSION) {
      this.fail(`it speaks version ${version} of VMN3T, not ${VMN3T_VERSION}`);
      void refuseStream(stream, INIT);
      return;
    }
    this.held = held.subarray(VMN3T_INIT_LEN);
    this.state = 'command';
    this.isWriting = !stream.write(INIT);
  }

  private readCommand(): void {
    const { held, stream } = this;
    const [first] = held;
    if (first === undefined) return;
    if (!isVmn3tCommand(first)) {
      this.refuse(`unsupported command ${first}`);
      return;
    }
    if (held.length < VMN3T_COMMAND_LEN) return;
    const command = readVmn3tCommand(new DataView(held.buffer, held.byteOffset, held.length));
    if (typeof command === 'string') {
      this.refuse(command);
      return;
    }
    this.state = 'done';
    stream.pause();
    const early = held.subarray(VMN3T_COMMAND_LEN);
    // Not from within the callback of a read, whose end decides whether there is another.
    setImmediate(() => {
      if (this.state !== 'done') return;
      this.state = 'over';
      this.events.onCommand(command, early);
    });
  }

  private refuse(why: string): void {
    this.fail(why);
    void refuseStream(this.stream, disconnectFor(why));
  }

  private fail(why: string | undefined): void {
    if (this.state === 'over') return;
    this.state = 'over';
    this.events.onFailed(why);
  }
}

/** The answer to a client that is not to be served. */
export function disconnectFor(why: string): Uint8Array {
  const bytes = new Uint8Array(VMN3T_RESPONSE_LEN);
  emitVmn3tDisconnect(bytes, why);
  return bytes;
}
