/**
 * Connections that hold something open: a publication that is leased ends when the connection that
 * asked for it has closed. They are exempt from the idle timeout and from limits of connections;
 * what they hold has limits of its own.
 */
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { CallConnection } from './route.ts';

/** Detects a client whose machine has vanished. */
const KEEPALIVE_MS = 15_000;

export class HeldConnections {
  private readonly held = new Set<Duplex>();

  has(connection: Duplex): boolean {
    return this.held.has(connection);
  }

  connectionOf(socket: Socket, staysOpen: boolean): CallConnection {
    return { staysOpen, hold: (onGone) => this.hold(socket, onGone) };
  }

  /** To be called after each answer: the connection is not idle, however long it is silent. */
  keep(socket: Socket): void {
    if (this.held.has(socket) && 'setTimeout' in socket) socket.setTimeout(0);
  }

  private hold(socket: Socket, onGone: () => void): void {
    if (socket.destroyed) {
      onGone();
      return;
    }
    socket.once('close', onGone);
    if (this.held.has(socket)) return;
    this.held.add(socket);
    if ('setKeepAlive' in socket) socket.setKeepAlive(true, KEEPALIVE_MS);
    socket.setMaxListeners(0); // one listener for each port that it holds
    socket.once('close', () => this.held.delete(socket));
  }
}
