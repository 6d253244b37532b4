/**
 * A host datagram socket that is connected to one peer: it receives from that peer only, and refusals are noticed.
 *
 * It never throws and never emits. Every failure is one call of `onFailure`, also when the connect itself fails, as on
 * a host without a network: ENETUNREACH, EADDRNOTAVAIL, EINVAL for the zone of an interface that is gone, EMFILE.
 */
import { isIPv6 } from 'node:net';
import { errorCode } from '../../native/errors.ts';
import {
  closeQuietly,
  type HostSocket,
  type HostSocketEvents,
  openHostSocket,
} from './host-socket.ts';

export interface ConnectedEvents {
  /** The receiver may keep `bytes`. */
  onMessage(bytes: Buffer): void;
  /**
   * There is no socket, or a send or a receive failed. After `ECONNREFUSED` the socket can still be used. Never
   * called from within the call that caused it, nor after `close`.
   *
   * @param code of the system: `ENETUNREACH`
   */
  onFailure(code: string): void;
}

export class ConnectedSocket implements HostSocketEvents {
  private readonly host: HostSocket | undefined;
  private readonly events: ConnectedEvents;
  private closed = false;

  /** @param address of an interface's own scope with its zone: `fe80::1%eth0` */
  constructor(address: string, port: number, events: ConnectedEvents) {
    this.events = events;
    const host = openHostSocket({ family: isIPv6(address) ? 6 : 4 }, this);
    if (typeof host === 'string') {
      this.host = undefined;
      process.nextTick(() => this.onReceiveError(host));
      return;
    }
    this.host = host;
    host.socket.connect(port, address); // complete when it returns; a failure is an event
  }

  send(bytes: Uint8Array): void {
    if (this.closed || this.host === undefined) return;
    try {
      // Without a callback Node does not report failures.
      this.host.socket.send(bytes, (error) => {
        if (error !== null) this.onReceiveError(errorCode(error));
      });
    } catch {
      // It is not connected: `onFailure` follows.
    }
  }

  close(): void {
    this.closed = true;
    if (this.host !== undefined) closeQuietly(this.host.socket);
  }

  onMessage(bytes: Buffer): void {
    if (!this.closed) this.events.onMessage(bytes);
  }

  onReceiveError(code: string): void {
    if (!this.closed) this.events.onFailure(code);
  }

  onFault(): void {
    this.onReceiveError('EFAULT');
  }
}
