/** Clients of VPNKit's Ethernet links, byte for byte as the known ones are, over a socket. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

const INIT_LEN = 49;
const RESPONSE_LEN = 258;

/** `VMN3T`, 22, and 40 characters of a commit. */
export const initOf = (commit: string, version = 22): Buffer => {
  const bytes = Buffer.alloc(INIT_LEN);
  bytes.write('VMN3T');
  bytes.writeUInt32LE(version, 5);
  bytes.write(commit, 9, 'latin1');
  return bytes;
};

/** VPNKit's Go package. */
export const GO_INIT: Buffer = initOf('0123456789'.repeat(4));
/** `c/vpnkit-tap-vsockd`. */
export const C_INIT: Buffer = initOf('\0'.repeat(40));

export const commandOf = (uuid: string, preferred?: string): Buffer => {
  const bytes = Buffer.alloc(41);
  bytes[0] = preferred === undefined ? 1 : 8;
  bytes.write(uuid, 1, 'latin1');
  const parts = (preferred ?? '0.0.0.0').split('.').map(Number);
  bytes.set(parts.reverse(), 37);
  return bytes;
};

export const framed = (frame: Uint8Array): Buffer => {
  const header = Buffer.alloc(2);
  header.writeUInt16LE(frame.length);
  return Buffer.concat([header, frame]);
};

export interface Vif {
  readonly mtu: number;
  readonly longest: number;
  readonly mac: string;
}

export class Vmn3tClient {
  readonly socket: Socket;
  /** `ECONNRESET` and the like. */
  failure: string | undefined = undefined;
  hasEnded = false;
  private held: Buffer = Buffer.alloc(0);
  private wake: () => void = () => {};
  private isReading = true;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk) => {
      this.held = Buffer.concat([this.held, chunk]);
      this.wake();
    });
    socket.on('end', () => {
      this.hasEnded = true;
      this.wake();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.failure = error.code;
      this.hasEnded = true;
      this.wake();
    });
  }

  static async at(where: string | { readonly port: number }): Promise<Vmn3tClient> {
    const options = typeof where === 'string' ? { path: where } : { host: '127.0.0.1', ...where };
    const socket = connect({ ...options, allowHalfOpen: true });
    await once(socket, 'connect');
    return new Vmn3tClient(socket);
  }

  /** As the Go package does: it reads 11 bytes of the answer that it needs, and skips the rest. */
  async open(uuid: string, preferred?: string): Promise<Vif> {
    this.socket.write(GO_INIT);
    const init = await this.read(INIT_LEN);
    assert.equal(init.subarray(0, 5).toString(), 'VMN3T');
    assert.equal(init.readUInt32LE(5), 22);
    this.socket.write(commandOf(uuid, preferred));
    return vifOf(await this.read(RESPONSE_LEN));
  }

  /** The text of a refusal. */
  async refusal(): Promise<string> {
    const response = await this.read(RESPONSE_LEN);
    assert.equal(response[0], 2);
    const len = response[1] ?? 0;
    assert.ok(
      response.subarray(2 + len).every((byte) => byte === 0),
      'padding',
    );
    return response.subarray(2, 2 + len).toString();
  }

  async read(len: number): Promise<Buffer> {
    while (this.held.length < len) {
      if (this.hasEnded) throw new Error(`it ended early: ${this.failure ?? 'EOF'}`);
      await this.change();
    }
    const bytes = this.held.subarray(0, len);
    this.held = this.held.subarray(len);
    return bytes;
  }

  async readFrame(): Promise<Buffer> {
    return await this.read((await this.read(2)).readUInt16LE());
  }

  /** Whole frames up to the end. @throws where a part of one is left, or the end is no orderly one */
  async readToEnd(): Promise<number> {
    while (!this.hasEnded) await this.change();
    assert.equal(this.failure, undefined);
    let frames = 0;
    for (; this.held.length > 0; frames++) await this.readFrame();
    return frames;
  }

  send(frame: Uint8Array): void {
    this.socket.write(framed(frame));
  }

  /** As RootlessKit's parent once it has an address. */
  stopReading(): void {
    this.isReading = false;
    this.socket.pause();
  }

  readOn(): void {
    this.isReading = true;
    this.socket.resume();
  }

  close(): void {
    this.socket.destroy();
  }

  private change(): Promise<void> {
    assert.ok(this.isReading, 'it does not read');
    return new Promise((resolve) => {
      this.wake = resolve;
    });
  }
}

function vifOf(response: Buffer): Vif {
  if (response[0] !== 1) {
    throw new Error(`refused: ${response.subarray(2, 2 + (response[1] ?? 0)).toString()}`);
  }
  const mac = response
    .subarray(5, 11)
    .toString('hex')
    .replace(/..(?!$)/g, '$&:');
  return { mtu: response.readUInt16LE(1), longest: response.readUInt16LE(3), mac };
}
