/**
 * Which sockets count: those that were seen twice, {@link CONFIRM_MS} apart. A listener that is there for an instant, as a
 * runtime of containers makes them before the rules of its firewall, never does. One that is seen no more is gone at once;
 * one that is bound as it was takes its place at once, as servers that close their socket and listen again (iperf3).
 */
import type { Instant } from '../../../base/time.ts';
import type { BoundSocket } from '../../../native/posix.ts';

export const CONFIRM_MS = 50;

interface Sighting {
  readonly socket: BoundSocket;
  readonly since: Instant;
  round: number;
  isCounted: boolean;
}

export interface CountChange {
  readonly added: readonly BoundSocket[];
  readonly removed: readonly BoundSocket[];
}

export class Sightings {
  /** By inode. */
  private readonly all = new Map<number, Sighting>();
  private round = 0;
  private readonly candidates = new Set<Sighting>();

  /** Whether some were seen once, and are to be looked at again. */
  get hasCandidates(): boolean {
    return this.candidates.size > 0;
  }

  /**
   * @param sockets that are there now, or that they are those of the last time
   * @param wasSeen of one that is new here: it was seen before, long enough ago
   * @returns which count from now on, and which no more
   */
  see(
    now: Instant,
    sockets: readonly BoundSocket[] | 'same',
    wasSeen: (socket: BoundSocket) => boolean = () => false,
  ): CountChange {
    this.round++;
    const removed: BoundSocket[] = [];
    if (sockets !== 'same') {
      for (const socket of sockets) this.mark(now, socket, removed);
      for (const sighting of this.all.values()) {
        if (sighting.round !== this.round) this.forget(sighting, removed);
      }
    }
    const added: BoundSocket[] = [];
    for (const socket of removed) {
      const next = this.successorOf(socket);
      if (next !== undefined) this.confirm(next, added);
    }
    for (const sighting of this.candidates) {
      const { since, socket } = sighting;
      if (now - since >= CONFIRM_MS || wasSeen(socket)) this.confirm(sighting, added);
    }
    return { added, removed };
  }

  private mark(now: Instant, socket: BoundSocket, removed: BoundSocket[]): void {
    const known = this.all.get(socket.inode);
    if (known !== undefined && isSame(known.socket, socket)) {
      known.round = this.round;
      return;
    }
    if (known !== undefined) this.forget(known, removed);
    const sighting = { socket, since: now, round: this.round, isCounted: false };
    this.all.set(socket.inode, sighting);
    this.candidates.add(sighting);
  }

  private confirm(sighting: Sighting, added: BoundSocket[]): void {
    sighting.isCounted = true;
    this.candidates.delete(sighting);
    added.push(sighting.socket);
  }

  private successorOf(socket: BoundSocket): Sighting | undefined {
    for (const candidate of this.candidates) {
      if (isSame(candidate.socket, socket)) return candidate;
    }
    return undefined;
  }

  private forget(sighting: Sighting, removed: BoundSocket[]): void {
    this.all.delete(sighting.socket.inode);
    if (sighting.isCounted) removed.push(sighting.socket);
    else this.candidates.delete(sighting);
  }
}

/** As they are bound: inodes are used again. */
const isSame = (one: BoundSocket, other: BoundSocket): boolean =>
  one === other ||
  (one.port === other.port &&
    one.protocol === other.protocol &&
    one.v6Only === other.v6Only &&
    one.address.equals(other.address));
