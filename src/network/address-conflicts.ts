/**
 * Addresses that guests use though they are those of others, for whose user they are the reason why a VM has no network:
 * in the view, the health, and an event when one begins.
 */
import { IpAddress } from '../base/ip-address.ts';
import type { Clock, Instant } from '../base/time.ts';
import { conflictProblem } from '../control/conflict-text.ts';
import type { ConflictEvent } from '../control/events/network-events.ts';
import type { ConflictsView, ConflictView } from '../control/network-view.ts';
import type { Lease } from '../services/dhcp/lease.ts';
import type { LinkPort } from '../stack/link-port.ts';
import type { RefusedClaim } from '../stack/separation/refused-claims.ts';
import type { AddressConflict, Stations } from '../stack/stations.ts';
import { formatMac } from '../wire/mac.ts';
import { LeaseNames } from './lease-names.ts';
import { wholeMs } from './view-numbers.ts';

/** Guests can make hundreds. */
const PROBLEMS_MAX = 4;

export interface AddressConflictsDeps {
  readonly stations: () => Stations;
  readonly leases: () => readonly Lease[];
  readonly clock: Pick<Clock, 'now'>;
  readonly onConflict: (event: ConflictEvent) => void;
}

export class AddressConflicts {
  private readonly deps: AddressConflictsDeps;
  /** That nobody has been told of. */
  private begun: (readonly [LinkPort, RefusedClaim])[] = [];

  constructor(deps: AddressConflictsDeps) {
    this.deps = deps;
  }

  view(): ConflictsView {
    const stations = this.deps.stations();
    const now = this.deps.clock.now();
    const found: AddressConflict[] = [];
    stations.forEachConflict(now, (conflict) => found.push(conflict));
    return { conflicts: this.viewsOf(now, found), unlisted: stations.conflictsUnlisted };
  }

  /** Sentences, the latest ones first. */
  get problems(): readonly string[] {
    const { conflicts } = this.view();
    const latest = [...conflicts].sort((one, other) => one.sinceMs - other.sinceMs);
    const problems = latest.slice(0, PROBLEMS_MAX).map(conflictProblem);
    const more = conflicts.length - problems.length;
    if (more > 0) problems.push(`${more} more addresses are claimed: see /v1/conflicts.`);
    return problems;
  }

  /** A link begins to claim an address of another: an event, but not within the frame. */
  onBegun(port: LinkPort, claim: RefusedClaim): void {
    if (this.begun.push([port, claim]) === 1) queueMicrotask(this.announce);
  }

  private readonly announce = (): void => {
    const { begun } = this;
    this.begun = [];
    const now = this.deps.clock.now();
    const stations = this.deps.stations();
    const found = begun.flatMap(([port, claim]) => stations.conflictOf(now, port, claim) ?? []);
    for (const conflict of this.viewsOf(now, found)) {
      this.deps.onConflict({ kind: 'begun', conflict });
    }
  };

  private viewsOf(now: Instant, found: readonly AddressConflict[]): readonly ConflictView[] {
    if (found.length === 0) return [];
    const names = new LeaseNames(this.deps.leases());
    return found.map((conflict) => viewOf(now, conflict, names));
  }
}

function viewOf(
  now: Instant,
  { claim, claimant, mac, owner }: AddressConflict,
  names: LeaseNames,
): ConflictView {
  const { a, b, c, d, since, lastAt, times } = claim;
  const address = new IpAddress(a, b, c, d);
  const isEthernet = claim.kind === 'ethernet';
  return {
    address: isEthernet ? formatMac(claim.mac) : `${address}`,
    kind: isEthernet ? 'ethernet' : `ipv${address.family}`,
    claimant: {
      guestId: claimant.guest.id,
      guestName: names.of(claimant.guest),
      guestMac: formatMac(claim.mac),
      link: claimant.name,
    },
    owner: {
      guestId: owner?.guest.id ?? null,
      guestName: names.of({ macs: [mac] }),
      guestMac: formatMac(mac),
      link: owner?.name ?? null,
    },
    sinceMs: wholeMs(now - since),
    lastMs: wholeMs(now - lastAt),
    times,
  };
}
