/**
 * Connections to the API's TCP port whose client has not shown the token: anybody who reaches the port can have any number
 * of them. They count neither among those that are served nor among those that wait, are few, end soon, and beyond their
 * number one of them, at random, gives way to the next. So whoever keeps connecting cannot keep the owner out, whose
 * request follows the connection at once.
 */
import type { Server } from 'node:http';
import type { Duplex } from 'node:stream';

export interface UnprovenLimits {
  readonly connections: number;
  /** For a request with the token to arrive. */
  readonly deadlineMs: number;
}

export const UNPROVEN_LIMITS: UnprovenLimits = { connections: 64, deadlineMs: 2_000 };

export class UnprovenConnections {
  /** Connections that gave way to others, or were late. */
  ended = 0;
  private readonly limits: UnprovenLimits;
  private readonly timers = new Map<Duplex, NodeJS.Timeout>();

  /** Called after all others that handle connections: they see one once it is counted here. */
  constructor(server: Server, limits: UnprovenLimits = UNPROVEN_LIMITS) {
    this.limits = limits;
    server.prependListener('connection', (socket) => this.add(socket));
  }

  has(socket: Duplex): boolean {
    return this.timers.has(socket);
  }

  /** Its client has shown the token. */
  prove(socket: Duplex): void {
    clearTimeout(this.timers.get(socket));
    this.timers.delete(socket);
  }

  private add(socket: Duplex): void {
    if (this.timers.size >= this.limits.connections) this.end(this.any());
    const timer = setTimeout(() => this.end(socket), this.limits.deadlineMs).unref();
    this.timers.set(socket, timer);
    socket.once('close', () => this.prove(socket));
  }

  private any(): Duplex | undefined {
    let left = Math.floor(Math.random() * this.timers.size);
    for (const socket of this.timers.keys()) if (left-- === 0) return socket;
    return undefined;
  }

  private end(socket: Duplex | undefined): void {
    if (socket === undefined) return;
    this.ended++;
    this.prove(socket);
    socket.destroy();
  }
}
