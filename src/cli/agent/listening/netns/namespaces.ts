/**
 * The guest's network namespaces besides the agent's, each once, by its inode: those that have a name in /run/netns and, if
 * they are wanted, those of processes.
 *
 * A process often enters its namespace a moment after it has begun: it is looked at for {@link YOUNG_MS}, and all are every
 * {@link ALL_MS}. Looks take {@link SHARE} of the time at most. Whoever holds a namespace open keeps it from ending; so it
 * is let go when its name, or the process that it was found by, has left it and no other is there.
 *
 * Limits: {@link NAMESPACES_MAX}; the rest is not looked at.
 */
import type { Clock, Instant } from '../../../../base/time.ts';

export const NAMESPACES_MAX = 64;
const LOOK_MS = 250;
const ALL_MS = 5_000;
const YOUNG_MS = 1_000;
const SHARE = 1 / 400;
const NAMED = '/run/netns';
const PROCESSES = '/proc';
const OWN = '/proc/self/ns/net';

export interface Namespace {
  readonly inode: number;
  /** In /run/netns. */
  readonly name: string | undefined;
}

export interface NamespaceFiles {
  /** Empty where there is no such directory. */
  list(directory: string): readonly string[];
  /** @returns undefined: that is no network namespace, or may not be seen */
  inodeOf(path: string): number | undefined;
}

export interface NamespacesDeps {
  readonly clock: Pick<Clock, 'now'>;
  readonly files: NamespaceFiles;
  /** Whether those without a name are wanted. */
  readonly withUnnamed: boolean;
  /** @param path to enter it by, now */
  onFound(namespace: Namespace, path: string): void;
  onLost(namespace: Namespace): void;
}

interface Place {
  readonly namespace: Namespace;
  readonly path: string;
}

export class Namespaces {
  /** How many there are besides. */
  leftOut = 0;
  private readonly deps: NamespacesDeps;
  private readonly known = new Map<number, Place>();
  /** When processes were seen first, by their ids. */
  private processes = new Map<string, Instant>();
  private nextAt: Instant = 0;
  private allAt: Instant = 0;

  constructor(deps: NamespacesDeps) {
    this.deps = deps;
  }

  /** To be called often; it does little most of the time. */
  look(): void {
    const { clock, files } = this.deps;
    const now = clock.now();
    if (now < this.nextAt) return;
    const lost = [...this.known.values()].filter(
      ({ namespace: { inode }, path }) => files.inodeOf(path) !== inode,
    );
    const isAll = lost.length > 0 || now >= this.allAt;
    if (isAll) this.allAt = now + ALL_MS;
    const own = files.inodeOf(OWN);
    const there = new Map<number, Place>();
    for (const place of this.places(now, isAll)) {
      const { inode } = place.namespace;
      if (inode !== own && !there.has(inode)) there.set(inode, place);
    }
    this.update(lost, there, isAll);
    this.nextAt = now + Math.max(LOOK_MS, (clock.now() - now) / SHARE);
  }

  private update(lost: readonly Place[], there: ReadonlyMap<number, Place>, isAll: boolean): void {
    const { onFound, onLost } = this.deps;
    for (const { namespace } of lost) {
      const place = there.get(namespace.inode);
      if (place !== undefined && place.namespace.name === namespace.name) {
        this.known.set(namespace.inode, place);
      } else {
        this.known.delete(namespace.inode);
        onLost(namespace);
      }
    }
    let leftOut = 0;
    for (const [inode, place] of there) {
      const before = this.known.get(inode)?.namespace;
      if (before !== undefined && (before.name ?? place.namespace.name) === before.name) continue;
      if (before === undefined && this.known.size >= NAMESPACES_MAX) {
        leftOut++;
        continue;
      }
      if (before !== undefined) onLost(before); // it has got a name
      this.known.set(inode, place);
      onFound(place.namespace, place.path);
    }
    if (isAll) this.leftOut = leftOut;
  }

  private *places(now: Instant, isAll: boolean): Generator<Place> {
    const { files, withUnnamed } = this.deps;
    for (const name of files.list(NAMED)) {
      const path = `${NAMED}/${name}`;
      const inode = files.inodeOf(path);
      if (inode !== undefined) yield { namespace: { inode, name }, path };
    }
    if (!withUnnamed) return;
    const before = this.processes;
    this.processes = new Map();
    for (const id of files.list(PROCESSES)) {
      if (!isNumber(id)) continue;
      const since = before.get(id) ?? now;
      this.processes.set(id, since);
      if (!isAll && now - since > YOUNG_MS) continue;
      const path = `${PROCESSES}/${id}/ns/net`;
      const inode = files.inodeOf(path);
      if (inode !== undefined) yield { namespace: { inode, name: undefined }, path };
    }
  }
}

const isNumber = (text: string): boolean => {
  const first = text.charCodeAt(0);
  return first >= 0x30 && first <= 0x39;
};
