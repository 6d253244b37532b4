/**
 * Which sockets count: those that were seen twice, {@link CONFIRM_MS} apart. A listener that is there for an instant, as a
 * runtime of containers makes them before the rules of its firewall, never does. One that is seen no more is gone at once.
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

export class Sightings {
  /** By inode. */
  private readonly all = new Map<number, Sighting>();
  private round = 0;
  /** Seen once: they are to be looked at again. */
  candidates = 0;

  /**
   * @param sockets that are there now, or that they are those of the last time
   * @returns whether others count than before
   */
  see(now: Instant, sockets: readonly BoundSocket[] | 'same'): boolean {
    this.round++;
    let isChanged = false;
    if (sockets !== 'same') {
      for (const socket of sockets) this.mark(now, socket);
      for (const [inode, { round, isCounted }] of this.all) {
        if (round === this.round) continue;
        this.all.delete(inode);
        if (isCounted) isChanged = true;
        else this.candidates--;
      }
    }
    if (this.candidates === 0) return isChanged;
    for (const sighting of this.all.values()) {
      if (sighting.isCounted || now - sighting.since < CONFIRM_MS) continue;
      sighting.isCounted = true;
      this.candidates--;
      isChanged = true;
    }
    return isChanged;
  }

  *counted(): Generator<BoundSocket> {
    for (const { socket, isCounted } of this.all.values()) if (isCounted) yield socket;
  }

  private mark(now: Instant, socket: BoundSocket): void {
    const known = this.all.get(socket.inode);
    if (known !== undefined && isSame(known.socket, socket)) {
      known.round = this.round;
      return;
    }
    if (known?.isCounted !== false) this.candidates++;
    this.all.set(socket.inode, { socket, since: now, round: this.round, isCounted: false });
  }
}

/** Inodes are used again. */
const isSame = (one: BoundSocket, other: BoundSocket): boolean =>
  one === other ||
  (one.port === other.port &&
    one.protocol === other.protocol &&
    one.v6Only === other.v6Only &&
    one.address.equals(other.address));
