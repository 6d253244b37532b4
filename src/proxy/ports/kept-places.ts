/**
 * Places of the host that somebody else holds, kept for them when they are free for a moment: a server of the host that
 * restarts, or another guest whose agent does, must not find a guest in its place, which would be handed its clients.
 *
 * Who else listens on the host is read once a second, from the kernel's tables; where there are none, a refused bind
 * tells. Publications tell themselves when they end. Each place stays kept for {@link KEEP_MS} after it was held last.
 *
 * `localhost` is one place: a client that looks for a server on 127.0.0.1 tries ::1 as well, and the other way round.
 *
 * Limits: so many ended publications of one owner are remembered; of one that has more, the rest are not kept.
 */
import type { IpAddress } from '../../base/ip-address.ts';
import type { Instant } from '../../base/time.ts';
import type { ListeningEntry } from '../../native/listening-tables.ts';
import { parseAddress } from '../../services/address-text.ts';
import { LOOPBACK4, LOOPBACK6 } from './loopback-pair.ts';
import type { HostAddress, PortSpec } from './publish-spec.ts';

export const KEEP_MS = 10_000;
export const KEPT_OF_OWNER = 2_048;
/** Reading takes at most this fraction of the time, as far as nothing is forgotten meanwhile. */
const SHARE = 1 / 500;

/** A process of the host that listens there, one that did a moment ago, or another publisher that did. */
export type KeptFor = 'host' | 'host-before' | 'other';

type Place = Pick<PortSpec, 'protocol' | 'hostAddress' | 'hostPort'>;

/** @template Owner of publications */
interface Kept<Owner> extends Place {
  /** Undefined: a process of the host. */
  readonly owner: Owner | undefined;
  readonly key: string;
  readonly until: Instant;
}

export interface KeptPlacesDeps<Owner> {
  now(): Instant;
  isSameOwner(one: Owner, other: Owner): boolean;
  /** Those who listen on the host; undefined: they cannot be read now. */
  listening(): readonly ListeningEntry[] | undefined;
  /** Whether what listens there is a published port. */
  isPublished(address: string, port: number): boolean;
}

export class KeptPlaces<Owner> {
  private readonly deps: KeptPlacesDeps<Owner>;
  /** By port, then by place: as they were held last. */
  private readonly foreign = new Map<number, Map<string, Kept<Owner>>>();
  /** By port, the oldest first. */
  private readonly ended = new Map<number, Kept<Owner>[]>();
  /** How many of the ended are of an owner, by its key. */
  private readonly counts = new Map<string, number>();
  private readAt: Instant = 0;
  private lastReadAt: Instant = 0;

  constructor(deps: KeptPlacesDeps<Owner>) {
    this.deps = deps;
  }

  /** Read who listens now, and forget what is kept no more. To be called once a second. */
  sample(): void {
    const now = this.deps.now();
    if (now >= this.readAt) this.read(now);
    for (const [port, places] of this.foreign) {
      for (const [key, { until }] of places) if (until <= now) places.delete(key);
      if (places.size === 0) this.foreign.delete(port);
    }
    for (const [port, places] of this.ended) {
      while ((places[0]?.until ?? now + 1) <= now) this.count(places.shift()?.key ?? '', -1);
      if (places.length === 0) this.ended.delete(port);
    }
  }

  private read(now: Instant): void {
    const entries = this.deps.listening();
    if (entries === undefined) return;
    for (const { address: text, port } of entries) {
      if (this.deps.isPublished(text, port)) continue;
      const hostAddress = parseAddress(text);
      if (hostAddress !== undefined) this.note('tcp', hostAddress, port, now);
    }
    this.lastReadAt = now;
    this.readAt = now + Math.min((this.deps.now() - now) / SHARE, KEEP_MS / 4);
  }

  /** A process of the host was found to be there. */
  onTaken({ protocol, hostAddress, hostPort }: PortSpec): void {
    this.note(protocol, hostAddress, hostPort, this.deps.now());
  }

  /** A publication has ended. @param key of the owner */
  onEnded(key: string, owner: Owner, { protocol, hostAddress, hostPort }: PortSpec): void {
    if ((this.counts.get(key) ?? 0) >= KEPT_OF_OWNER) return;
    this.count(key, 1);
    const until = this.deps.now() + KEEP_MS;
    const kept = { protocol, hostAddress, hostPort, key, owner, until };
    const places = this.ended.get(hostPort);
    if (places === undefined) this.ended.set(hostPort, [kept]);
    else places.push(kept);
  }

  /** @returns for whom the place is kept; undefined: `owner` may have it */
  keptFor(spec: PortSpec, owner: Owner): KeptFor | undefined {
    const now = this.deps.now();
    for (const kept of this.foreign.get(spec.hostPort)?.values() ?? []) {
      if (kept.until <= now || !shadows(kept, spec)) continue;
      return kept.until >= this.lastReadAt + KEEP_MS ? 'host' : 'host-before';
    }
    for (const kept of this.ended.get(spec.hostPort) ?? []) {
      if (kept.until <= now || kept.owner === undefined || !shadows(kept, spec)) continue;
      if (!this.deps.isSameOwner(kept.owner, owner)) return 'other';
    }
    return undefined;
  }

  private note(
    protocol: Place['protocol'],
    hostAddress: HostAddress,
    hostPort: number,
    now: Instant,
  ): void {
    const places = this.foreign.get(hostPort) ?? new Map<string, Kept<Owner>>();
    const until = now + KEEP_MS;
    const kept = { protocol, hostAddress, hostPort, key: '', owner: undefined, until };
    places.set(`${protocol} ${hostAddress}`, kept);
    this.foreign.set(hostPort, places);
  }

  private count(key: string, by: number): void {
    const count = (this.counts.get(key) ?? 0) + by;
    if (count <= 0) this.counts.delete(key);
    else this.counts.set(key, count);
  }
}

/** Whether a client of the one place may come to the other. */
export function shadows(one: Place, other: Place): boolean {
  if (one.protocol !== other.protocol || one.hostPort !== other.hostPort) return false;
  const [mine, theirs] = [addressesOf(one.hostAddress), addressesOf(other.hostAddress)];
  if (mine === undefined || theirs === undefined) return true;
  return mine.some((address) => theirs.some((their) => address.equals(their)));
}

const LOOPBACKS: readonly IpAddress[] = [LOOPBACK4, LOOPBACK6];

/** @returns undefined for every address of a family, or of both */
function addressesOf(host: HostAddress): readonly IpAddress[] | undefined {
  if (host === undefined || /^(0\.0\.0\.0|::)$/.test(`${host}`)) return undefined;
  if (host === 'localhost' || LOOPBACKS.some((one) => one.equals(host))) return LOOPBACKS;
  return [host];
}
