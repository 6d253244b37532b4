/**
 * The npm package node-vsock 0.0.5 as a link uses it, over Unix sockets: there is no vsock between two
 * processes of one machine without a kernel module, and the package is not a dependency of ours. What is
 * peculiar to the package is kept: it reads whether anybody listens or not, `end` ends both directions, and
 * a descriptor that is closed while the reading thread uses it could be another's by then.
 */
import { EventEmitter } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';

const { STAND_IN_DIR = '/nonexistent' } = process.env;
const CLOSED_UNDER_READER = 70;

const pathOf = (port: number): string => join(STAND_IN_DIR, `vsock-${port}`);

export class VsockSocket extends EventEmitter {
  private socket: Socket | undefined;
  private reading: 'not-yet' | 'now' | 'over' = 'not-yet';
  private destroyed = false;

  constructor(socket?: Socket) {
    super();
    if (socket !== undefined) this.receive(socket);
  }

  /** The CID is of no consequence. */
  connect(_cid: number, port: number, onConnected?: () => void): void {
    const socket = connect(pathOf(port));
    socket.once('error', (error) => {
      if (this.reading === 'not-yet') this.emit('error', error);
    });
    socket.once('connect', () => {
      this.receive(socket);
      onConnected?.();
    });
  }

  writeSync(bytes: Uint8Array): void {
    if (this.destroyed || this.socket === undefined || !this.socket.writable) {
      throw new Error('send data failed');
    }
    this.socket.write(Uint8Array.from(bytes)); // the caller may use the array again
  }

  end(): void {
    this.socket?.end();
    process.nextTick(() => this.readOut());
  }

  destroy(): void {
    if (this.destroyed) return;
    if (this.reading === 'now') process.exit(CLOSED_UNDER_READER);
    this.destroyed = true;
    this.socket?.destroy();
    this.emit('close');
  }

  private receive(socket: Socket): void {
    this.socket = socket;
    this.reading = 'now';
    socket.on('data', (bytes) => {
      if (this.reading === 'now') this.emit('data', bytes);
    });
    socket.on('end', () => this.readOut());
    socket.on('error', () => this.readOut());
    socket.on('close', () => this.readOut());
  }

  private readOut(): void {
    if (this.reading !== 'now') return;
    this.reading = 'over';
    this.emit('end');
  }
}

export class VsockServer extends EventEmitter {
  private readonly server: Server = createServer((socket) => {
    this.emit('connection', new VsockSocket(socket));
  });

  listen(port: number): void {
    this.server.listen(pathOf(port));
  }

  close(): void {
    this.server.close();
  }
}
