/**
 * Clients beyond those that the control API serves at a time: they wait in order instead of being disconnected.
 *
 * While a client waits, a connection without a pending request is closed after a short time: one that
 * is idle between requests, or has not sent all of one; after a longer one, a client that takes nothing of its answer.
 * Those that hold a lease are neither counted nor closed. Where more wait than are served, one that has sent no request is closed sooner still, and every other place is for the
 * client that came last: so a crowd that says nothing keeps nobody out. When the room is full, the client that has waited
 * longest is disconnected.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { openFilesLimit } from '../native/open-files-limit.ts';
import type { HeldConnections } from './held-connections.ts';

export interface WaitingRoomLimits {
  readonly served: number;
  readonly waiting: number;
  /** How long a connection may be idle while others wait. */
  readonly idleMs: number;
  /** How long without a request, while more wait than are served. */
  readonly silentMs: number;
  /** How long a client may take nothing of its answer while others wait. */
  readonly unreadMs: number;
}

export const WAITING_ROOM_LIMITS: WaitingRoomLimits = {
  ...{ served: 64, waiting: 1024 },
  ...{ idleMs: 1_000, silentMs: 100, unreadMs: 5_000 },
};

/** Of those who are served, and who wait, each: what is kept of the descriptors for the host suffices for both. */
const FILES_PART = 16;

/** @param openFiles how many descriptors this process may open */
export function clientLimits(openFiles: number): WaitingRoomLimits {
  const { served, waiting } = WAITING_ROOM_LIMITS;
  const part = Math.max(Math.floor(openFiles / FILES_PART), 1);
  return {
    ...WAITING_ROOM_LIMITS,
    served: Math.min(part, served),
    waiting: Math.min(part, waiting),
  };
}

/** How many clients may stay to follow events, and flows: a quarter of the places is left to others. */
export function followersMax(
  what: 'events' | 'flows',
  openFiles: number = openFilesLimit(),
): number {
  const { served } = clientLimits(openFiles);
  return Math.max(Math.floor(served / (what === 'events' ? 2 : 4)), 1);
}

/** Connections that neither take a place nor are closed: those that hold a lease. */
export type Uncounted = Pick<HeldConnections, 'has'>;

interface Turn {
  idleSince: number;
  request: IncomingMessage | undefined;
  /** Bytes of the answer that the kernel has not taken, and since when they are as many. */
  unread: number;
  unreadSince: number;
}

export class WaitingRoom {
  /** Clients that were disconnected because the room was full. */
  turnedAway = 0;
  private readonly limits: WaitingRoomLimits;
  private readonly uncounted: Uncounted;
  private readonly admit: (socket: Socket) => void;
  /** By connection, since when it waits for bytes of its client, and the request that it is sending or that is being answered. */
  private readonly served = new Map<Socket, Turn>();
  private readonly waiting = new Set<Socket>();
  private isForLast = false;
  private timer: NodeJS.Timeout | undefined = undefined;

  /** Called before the server's own listeners of connections. */
  constructor(
    server: Server,
    uncounted: Uncounted,
    limits: WaitingRoomLimits = clientLimits(openFilesLimit()),
  ) {
    this.limits = limits;
    this.uncounted = uncounted;
    const listeners = server.listeners('connection');
    this.admit = (socket) => {
      for (const listener of listeners) listener.call(server, socket);
    };
    server.removeAllListeners('connection');
    server.on('connection', (socket) => this.enter(socket));
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      const { socket } = request;
      const turn = this.served.get(socket);
      if (turn === undefined) return;
      turn.request = request;
      turn.idleSince = performance.now();
      response.once('close', () => {
        turn.request = undefined;
        turn.idleSince = performance.now();
        this.next(); // it may hold a lease now, and is no longer counted
      });
    });
  }

  /** Disconnect those that wait. */
  close(): void {
    for (const socket of this.waiting) socket.destroy();
  }

  private enter(socket: Socket): void {
    if (this.hasRoom()) {
      this.serve(socket);
      return;
    }
    const longest = firstOf(this.waiting);
    if (longest !== undefined && this.waiting.size >= this.limits.waiting) {
      this.turnedAway++;
      this.waiting.delete(longest);
      longest.destroy();
    }
    this.waiting.add(socket);
    socket.on('error', ignore);
    socket.once('close', () => this.waiting.delete(socket));
    this.timer ??= setInterval(() => this.closeIdle(), this.limits.silentMs / 4).unref();
  }

  private serve(socket: Socket): void {
    const now = performance.now();
    this.served.set(socket, { idleSince: now, request: undefined, unread: 0, unreadSince: now });
    socket.once('close', () => {
      this.served.delete(socket);
      this.next();
    });
    this.admit(socket);
  }

  private next(): void {
    while (this.waiting.size > 0 && this.hasRoom()) {
      this.isForLast = !this.isForLast;
      const socket = this.isForLast ? [...this.waiting].at(-1) : firstOf(this.waiting);
      if (socket === undefined) return;
      this.waiting.delete(socket);
      socket.off('error', ignore);
      this.serve(socket);
    }
  }

  private hasRoom(): boolean {
    let count = 0;
    for (const socket of this.served.keys()) if (!this.uncounted.has(socket)) count++;
    return count < this.limits.served;
  }

  private closeIdle(): void {
    if (this.waiting.size === 0) {
      clearInterval(this.timer);
      this.timer = undefined;
      return;
    }
    let wanted = this.waiting.size;
    const { served, idleMs, silentMs, unreadMs } = this.limits;
    const shortMs = wanted > served ? silentMs : idleMs;
    const now = performance.now();
    for (const [socket, turn] of this.served) {
      if (wanted === 0) return;
      const { request } = turn;
      const isAnswered = request?.complete === true;
      const since = isAnswered ? unreadSince(socket, turn, now) : turn.idleSince;
      const answerMs = isAnswered ? unreadMs : idleMs;
      const limitMs = request === undefined ? shortMs : answerMs;
      if (now - since < limitMs || this.uncounted.has(socket)) continue;
      socket.destroy();
      wanted--;
    }
  }
}

/** @returns since when the client takes nothing of what waits for it; `now` when nothing does, or it took some */
function unreadSince({ writableLength }: Socket, turn: Turn, now: number): number {
  if (writableLength === 0 || writableLength !== turn.unread) turn.unreadSince = now;
  turn.unread = writableLength;
  return turn.unreadSince;
}

function firstOf<T>(set: ReadonlySet<T>): T | undefined {
  const [first] = set;
  return first;
}

/** A client that leaves while it waits: 'close' follows. */
const ignore = (): void => {};
