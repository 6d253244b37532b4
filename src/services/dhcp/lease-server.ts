/**
 * What the DHCP servers of both families have in common: a table of leases that survives restarts, what is counted,
 * and what is warned of.
 */
import type { Log } from '../../base/log.ts';
import type { Instant } from '../../base/time.ts';
import type { NameList } from '../../wire/domain-names.ts';
import type { Mac } from '../../wire/mac.ts';
import type { AddressKey, Lease, LeaseConfig, LeaseStore } from './lease.ts';
import type { ClientIdentity } from './lease-record.ts';
import type { LeaseTable, RestoredLease, SegmentState } from './lease-table.ts';
import { DhcpWarnings, type WarningWords } from './warnings.ts';

/** The server's own knowledge of its segment. */
export interface DhcpSegment<A extends AddressKey> extends SegmentState<A> {
  readonly log: Log;
}

/** Where a request came from. A client only asks for itself. */
export interface DhcpSource {
  /** Of the frame. */
  readonly mac: Mac;
  /** The number of the link. */
  readonly link: number;
}

/** How a family's server differs from the other's. */
export interface FamilyParts<A extends AddressKey, T extends LeaseTable<A>> {
  readonly table: T;
  readonly words: WarningWords;
  encodeSearch(names: readonly string[]): NameList;
  /** @returns undefined where the text is no address of the family */
  parse(address: string): A | undefined;
}

export abstract class LeaseServer<A extends AddressKey, T extends LeaseTable<A>> {
  /** Counts the changes of leases. */
  revision = 0;
  /** The last guest that asked for an address got none. */
  poolIsEmpty = false;
  protected readonly table: T;
  protected readonly warnings: DhcpWarnings;
  protected search: NameList;
  private readonly parts: FamilyParts<A, T>;
  private readonly store: LeaseStore | undefined;
  private readonly log: Log;
  private restored = false;

  constructor(
    { search }: LeaseConfig<A>,
    store: LeaseStore | undefined,
    log: Log,
    parts: FamilyParts<A, T>,
  ) {
    this.store = store;
    this.log = log;
    this.parts = parts;
    this.table = parts.table;
    this.warnings = new DhcpWarnings(log, parts.words);
    this.search = parts.encodeSearch(search);
  }

  /** Announce another search list from now on (the host's resolver configuration changed). */
  setSearch(search: readonly string[]): void {
    this.search = this.parts.encodeSearch(search);
    this.warnings.onSearch();
  }

  leases(now: Instant, wallMs: number): readonly Lease[] {
    this.restore(now, wallMs);
    return this.table.leases(now, wallMs);
  }

  /** The Ethernet address that an address is leased to, or reserved for; 0: it is free. */
  holderOf(address: A, now: Instant, wallMs: number): Mac {
    this.restore(now, wallMs);
    return this.table.holderOf(address, now);
  }

  /** The link of this number is gone: its leases wait for their guests, and then are free. */
  onLinkDown(link: number, now: Instant, wallMs: number): void {
    if (this.table.onLinkDown(link, now)) this.endsChanged(now, wallMs);
  }

  /** A guest is at an address, on a link: its lease waits no more. */
  onHeard(address: A, mac: Mac, link: number, now: Instant, wallMs: number): void {
    if (this.table.onHeard(address, mac, link)) this.endsChanged(now, wallMs);
  }

  /** Called once there is a clock. */
  protected restore(now: Instant, wallMs: number): void {
    if (this.restored) return;
    this.restored = true;
    const leases: RestoredLease<A>[] = [];
    for (const lease of this.store?.load() ?? []) {
      const address = this.parts.parse(lease.address);
      if (address !== undefined) leases.push({ lease, address });
    }
    this.table.restore(leases, now, wallMs);
  }

  /**
   * Whether a guest with the Ethernet address of `identity` holds a lease behind another link: then this one gets none,
   * with a warning.
   */
  protected isElsewhere(identity: ClientIdentity, now: Instant): boolean {
    if (!this.table.isElsewhere(identity, now)) return false;
    this.warnings.sameMac(identity);
    return true;
  }

  /**
   * The address for a guest: its wish, if it may have that, or another. Warns where there is none.
   *
   * @returns why there is none, or the address
   */
  protected addressFor(
    identity: ClientIdentity,
    wish: A | undefined,
    now: Instant,
  ): A | 'link-share' | 'pool-exhausted' {
    if (!this.table.isWithinShare(identity, now)) {
      this.warnings.linkShare(identity);
      return 'link-share';
    }
    const address =
      wish !== undefined && this.table.mayHave(identity, wish, now)
        ? wish
        : this.table.choose(identity, now);
    this.poolIsEmpty = address === undefined;
    if (address === undefined) {
      this.warnings.emptyPool(identity);
      return 'pool-exhausted';
    }
    this.warnings.onAddress();
    return address;
  }

  protected changed(now: Instant, wallMs: number): void {
    this.revision++;
    const { leases, ends } = this.table.stored(now, wallMs);
    this.store?.save(leases, ends);
  }

  private endsChanged(now: Instant, wallMs: number): void {
    this.store?.onEnds?.(() => this.table.stored(now, wallMs));
  }

  protected event(
    event: string,
    { mac }: ClientIdentity,
    address: string,
    hostname?: string,
  ): void {
    this.log.debug({ mac, address, hostname }, `${this.parts.words.protocol}: ${event}`);
  }
}
