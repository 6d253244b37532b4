/**
 * When guests get Router Advertisements, and what these say (RFC 4861 §6.2).
 *
 * Theory of operation
 * -------------------
 * Every link has a schedule of its own: an advertisement at once when it comes, two more soon, then one every few minutes.
 * What changes (a default route that comes or goes, NAT64, search domains) is announced in the same manner, on every link.
 * Solicitations are answered at once, to who asked; beyond a rate, all askers of a link are answered by one advertisement to
 * all nodes, which has a rate of its own. A guest that was silent for long, and may have slept beyond the lifetimes that it
 * knows, gets one too, and so do all when the host slept.
 *
 * A default route that is withdrawn is a router lifetime of 0. The prefix stays: guests keep their addresses, reach each
 * other and the gateway, and go on where they were when the route is back.
 *
 * Sans-IO: no clock, no timer; messages go to an {@link AdvertisementSink}, which asks for the bytes.
 */
import { Counters } from '../../base/counters.ts';
import { IpAddress } from '../../base/ip-address.ts';
import { nextUnit, type Random } from '../../base/random.ts';
import { Rate } from '../../base/shares/rate.ts';
import type { Slab } from '../../base/slab.ts';
import { type Instant, NEVER } from '../../base/time.ts';
import type { RouterService } from '../../stack/ipv6/ndp.ts';
import type { Mac } from '../../wire/mac.ts';
import { emitRouterAdvertisement } from '../../wire/router-advertisement.ts';

/** RFC 4861 §6.2.1, §10. */
const MAX_INTERVAL_MS = 600_000;
const MIN_INTERVAL_MS = 200_000;
const MAX_INITIAL_INTERVAL_MS = 16_000;
const MIN_DELAY_MS = 3_000;
/** After the first. */
const MORE_INITIAL = 2;
/** AdvDefaultLifetime: three times the longest interval. RFC 8106 §5.1 has the same for DNS servers. */
const LIFETIME_S = 1_800;
/** Short against those of RFC 4861, so that guests forget the prefix of a network that was configured anew. */
const VALID_S = 86_400;
const PREFERRED_S = 14_400;
const HOP_LIMIT = 64;
/** Of one link; a system that starts solicits three times in twelve seconds. */
const SOLICITED_PER_SECOND = 4;

const ALL_NODES = new IpAddress(0xff02_0000, 0, 0, 1);
const ALL_NODES_MAC: Mac = 0x3333_0000_0001;

export interface AdvertiserConfig {
  readonly mac: Mac;
  readonly mtu: number;
  /** A /64. */
  readonly prefix: IpAddress;
  /** The prefix is that of the host's network too: guests reach its addresses by the gateway. */
  readonly isOffLink: boolean;
  /** Addresses are to be had by stateless autoconfiguration, and by DHCPv6. */
  readonly hasAutoconfiguration: boolean;
  readonly hasDhcp: boolean;
  readonly dns: readonly IpAddress[];
  /** Of translation to IPv4, each a /96, where there is any. */
  readonly nat64: readonly IpAddress[];
}

/** What changes in service. */
export interface Announcement {
  /** The gateway is a default router. */
  readonly hasRoute: boolean;
  readonly hasNat64: boolean;
  readonly search: readonly string[];
}

export interface AdvertisementSink {
  /**
   * Send an advertisement on `link`, from the gateway's link-local address and with a hop limit of 255.
   *
   * @param write writes the ICMPv6 message, its checksum 0, and returns its length
   */
  sendAdvertisement(link: number, to: IpAddress, mac: Mac, write: WriteAdvertisement): void;
}

export type WriteAdvertisement = (out: Slab, off: number, maxLen: number) => number;

export type AdvertiserCount = 'to-all' | 'solicited' | 'awake' | 'rate-limited';

class LinkSchedule {
  readonly link: number;
  readonly solicited = new Rate(SOLICITED_PER_SECOND);
  /** When the next one goes to all nodes. */
  nextAt: Instant = NEVER;
  lastAt: Instant = Number.NEGATIVE_INFINITY;
  initialLeft = 0;

  constructor(link: number) {
    this.link = link;
  }
}

export class Advertiser implements RouterService {
  readonly counts: Counters<AdvertiserCount> = new Counters();
  private readonly config: AdvertiserConfig;
  private readonly random: Random;
  private readonly sink: AdvertisementSink;
  private readonly links = new Map<number, LinkSchedule>();
  private announcement: Announcement;
  /** NAT64 was announced once: it is withdrawn by name. */
  private hadNat64: boolean;
  private next: Instant = NEVER;
  private readonly write: WriteAdvertisement = (out, off, maxLen) => this.emit(out, off, maxLen);

  constructor(
    config: AdvertiserConfig,
    announcement: Announcement,
    random: Random,
    sink: AdvertisementSink,
  ) {
    this.config = config;
    this.random = random;
    this.sink = sink;
    this.announcement = announcement;
    this.hadNat64 = announcement.hasNat64;
  }

  get announced(): Announcement {
    return this.announcement;
  }

  onLinkUp(now: Instant, link: number): void {
    const schedule = new LinkSchedule(link);
    this.links.set(link, schedule);
    this.begin(now, schedule);
    this.findNext();
  }

  onLinkDown(link: number): void {
    this.links.delete(link);
    this.findNext();
  }

  /** Announce at once what differs from before. */
  announce(now: Instant, announcement: Announcement): void {
    const before = this.announcement;
    this.announcement = announcement;
    this.hadNat64 ||= announcement.hasNat64;
    if (!isSame(before, announcement)) this.announceAgain(now);
  }

  /** Announce at once what guests may know no more. */
  announceAgain(now: Instant): void {
    for (const schedule of this.links.values()) this.begin(now, schedule);
    this.findNext();
  }

  /**
   * A host on `link` solicits an advertisement.
   *
   * @param from undefined: it has no address yet
   */
  onSolicitation(now: Instant, link: number, from: IpAddress | undefined, mac: Mac): void {
    this.answer(now, link, 'solicited', from ?? ALL_NODES, mac);
  }

  /** A station was heard that had been silent for long. */
  onAwake(now: Instant, link: number, mac: Mac): void {
    this.answer(now, link, 'awake', ALL_NODES, mac);
  }

  nextTimeout(): Instant {
    return this.next;
  }

  onTimeout(now: Instant): void {
    if (now < this.next) return;
    for (const schedule of this.links.values()) {
      if (now < schedule.nextAt) continue;
      this.toAll(now, schedule);
      if (schedule.initialLeft > 0) schedule.initialLeft--;
      schedule.nextAt = now + this.interval(schedule);
    }
    this.findNext();
  }

  /** RFC 4861 §6.2.4: the first ones follow each other faster. */
  private begin(now: Instant, schedule: LinkSchedule): void {
    this.toAll(now, schedule);
    schedule.initialLeft = MORE_INITIAL;
    schedule.nextAt = now + this.interval(schedule);
  }

  private interval({ initialLeft }: LinkSchedule): number {
    return initialLeft > 0
      ? this.between(MIN_DELAY_MS, MAX_INITIAL_INTERVAL_MS)
      : this.between(MIN_INTERVAL_MS, MAX_INTERVAL_MS);
  }

  private between(min: number, max: number): number {
    return min + nextUnit(this.random) * (max - min);
  }

  private answer(
    now: Instant,
    link: number,
    why: 'solicited' | 'awake',
    to: IpAddress,
    mac: Mac,
  ): void {
    const schedule = this.links.get(link);
    if (schedule === undefined) return;
    if (schedule.solicited.take(now)) {
      this.counts.add(why);
      this.sink.sendAdvertisement(link, to, mac, this.write);
      return;
    }
    this.counts.add('rate-limited');
    const at = Math.max(now, schedule.lastAt + MIN_DELAY_MS);
    if (at >= schedule.nextAt) return;
    schedule.nextAt = at;
    this.findNext();
  }

  private toAll(now: Instant, schedule: LinkSchedule): void {
    schedule.lastAt = now;
    this.counts.add('to-all');
    this.sink.sendAdvertisement(schedule.link, ALL_NODES, ALL_NODES_MAC, this.write);
  }

  private findNext(): void {
    let next = NEVER;
    for (const { nextAt } of this.links.values()) next = Math.min(next, nextAt);
    this.next = next;
  }

  private emit(out: Slab, off: number, maxLen: number): number {
    const { config, announcement } = this;
    return emitRouterAdvertisement(
      out,
      off,
      {
        hopLimit: HOP_LIMIT,
        isManaged: config.hasDhcp,
        isOtherConfiguration: true,
        routerLifetimeS: announcement.hasRoute ? LIFETIME_S : 0,
        source: config.mac,
        mtu: config.mtu,
        prefix: {
          address: config.prefix,
          bits: 64,
          isOnLink: !config.isOffLink,
          isAutonomous: config.hasAutoconfiguration,
          validS: VALID_S,
          preferredS: PREFERRED_S,
        },
        dnsLifetimeS: LIFETIME_S,
        dns: config.dns,
        search: announcement.search,
        nat64LifetimeS: announcement.hasNat64 ? LIFETIME_S : 0,
        nat64: this.hadNat64 ? config.nat64 : [],
      },
      maxLen,
    );
  }
}

const isSame = (one: Announcement, other: Announcement): boolean =>
  one.hasRoute === other.hasRoute &&
  one.hasNat64 === other.hasNat64 &&
  one.search.join() === other.search.join();
