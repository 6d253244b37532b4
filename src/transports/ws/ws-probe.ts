/** Whether the client of a WebSocket is still there. */
import type { WebSocket } from 'ws';

export class WsProbe {
  private readonly socket: WebSocket;
  private isAlive = true;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('pong', () => {
      this.isAlive = true;
    });
  }

  /** Ask; a client that did not answer the last time is gone. */
  probe(): void {
    if (!this.isAlive) {
      this.socket.terminate();
      return;
    }
    this.isAlive = false;
    this.socket.ping();
  }
}
