/**
 * gvproxy's notifications (`pkg/notification/sender.go`): for each, one connection to the launcher's socket, and a line of JSON
 * in it. One after the other, in order; beyond {@link QUEUE_LIMIT} that wait they are dropped, with a warning. A launcher
 * that does not answer loses its notifications, nothing more.
 */
import { connect } from 'node:net';
import type { Log } from '../../../base/log.ts';

export const QUEUE_LIMIT = 100;
/** For a connection to take its line. */
const PATIENCE_MS = 1_000;

export type Notification =
  | { readonly notification_type: 'ready' | 'hypervisor_error' }
  | {
      readonly notification_type: 'connection_established' | 'connection_closed';
      readonly mac_address: string;
    };

export class Notifications {
  private readonly path: string;
  private readonly log: Log;
  private readonly queue: Notification[] = [];
  private sending: Promise<void> | undefined;

  constructor(path: string, log: Log) {
    this.path = path;
    this.log = log;
  }

  send(notification: Notification): void {
    if (this.queue.length >= QUEUE_LIMIT) {
      this.log.warn({ notification }, 'unable to send notification');
      return;
    }
    this.queue.push(notification);
    this.sending ??= this.sendAll();
  }

  /** Resolves when all that waits has been sent, or could not be. */
  async close(): Promise<void> {
    await this.sending;
  }

  private async sendAll(): Promise<void> {
    for (let next = this.queue[0]; next !== undefined; next = this.queue[0]) {
      const why = await deliver(this.path, `${JSON.stringify(next)}\n`);
      if (why !== undefined) {
        this.log.warn({ socket: this.path, reason: why }, 'failed to send notification');
      }
      this.queue.shift();
    }
    this.sending = undefined;
  }
}

/** @returns why it failed */
function deliver(path: string, line: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    let why: string | undefined;
    socket.setTimeout(PATIENCE_MS, () => {
      why ??= `not taken within ${PATIENCE_MS} ms`;
      socket.destroy();
    });
    socket.on('error', (error) => {
      why ??= error.message;
    });
    socket.once('close', () => resolve(why));
    socket.end(line, () => socket.destroySoon());
  });
}
