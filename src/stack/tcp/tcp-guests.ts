/** What each guest has of TCP, and the budgets that they share. */
import { Budget } from '../../base/shares/budget.ts';
import type { Guest } from '../guest.ts';
import type { TcpConfig } from './config.ts';
import type { TcpConnection } from './connection.ts';
import { GuestTcp, type TcpBudgets, type TcpEvictor } from './guest-tcp.ts';
import type { PendingRequest } from './request.ts';

export class TcpGuests {
  readonly budgets: TcpBudgets;
  connectionCount = 0;
  requestCount = 0;
  private readonly evictor: TcpEvictor;
  private readonly byGuest = new WeakMap<Guest, GuestTcp>();
  /** Those that have anything. */
  private readonly active = new Set<GuestTcp>();

  constructor(config: TcpConfig, evictor: TcpEvictor) {
    this.evictor = evictor;
    this.budgets = {
      connections: new Budget('connections', config.maxConnections),
      requests: new Budget('requests', config.maxRequests),
      timeWaits: new Budget('time-wait', config.maxTimeWait),
      memory: new Budget('memory', config.memoryBudget),
    };
  }

  /** Guests that have connections or requests. */
  get size(): number {
    return this.active.size;
  }

  /** Those that have connections or requests. */
  [Symbol.iterator](): Iterator<GuestTcp> {
    return this.active[Symbol.iterator]();
  }

  of(guest: Guest): GuestTcp {
    const known = this.byGuest.get(guest);
    if (known !== undefined) return known;
    const tcp = new GuestTcp(guest, this.budgets, this.evictor);
    this.byGuest.set(guest, tcp);
    return tcp;
  }

  /** Its share was taken. */
  addConnection(tcp: GuestTcp, c: TcpConnection): void {
    this.connectionCount++;
    tcp.connections.add(c);
    this.active.add(tcp);
  }

  deleteConnection(c: TcpConnection): void {
    const tcp = this.of(c.owner);
    this.connectionCount--;
    tcp.connections.delete(c);
    this.giveConnection(tcp);
  }

  /** Give back a share that was taken for a connection. */
  giveConnection(tcp: GuestTcp): void {
    tcp.connectionShare.give();
    if (tcp.isIdle) this.active.delete(tcp);
  }

  /** Its shares were taken. */
  addRequest(tcp: GuestTcp, request: PendingRequest): void {
    this.requestCount++;
    tcp.requests.add(request);
    this.active.add(tcp);
  }

  /** It ends, and with it its place among connections. */
  deleteRequest(request: PendingRequest): void {
    this.giveConnection(this.takeRequest(request));
  }

  /** A connection comes of it, which has its place. */
  takeRequest(request: PendingRequest): GuestTcp {
    const tcp = this.of(request.owner);
    this.requestCount--;
    tcp.requests.delete(request);
    tcp.requestShare.give();
    return tcp;
  }
}
