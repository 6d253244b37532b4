/**
 * IPv6 of guests, in step with the host's network: what the router announces, which addresses DNS answers with, NAT64, and
 * DHCP's word of it.
 */
import type { Log } from '../base/log.ts';
import type { Clock } from '../base/time.ts';
import type { Posix } from '../native/posix.ts';
import { HostNat64Prefix, type Nat64PrefixDeps } from '../proxy/dns/nat64-prefix.ts';
import type { HostReach } from '../proxy/host-reach.ts';
import type { Prefix } from '../services/address-text.ts';
import type { Advertiser, Announcement } from '../services/ra/advertiser.ts';
import type { Addresses } from './addresses.ts';
import type { NetworkConfig } from './config.ts';
import type { DataPath } from './data-path.ts';
import { DnsFamilies } from './dns-families.ts';
import { serveRouter } from './router.ts';
import { Uplink, type UplinkState } from './uplink.ts';

export interface Ipv6ServiceDeps {
  readonly config: NetworkConfig;
  readonly addresses: Addresses;
  /** Of guests. */
  readonly networks: readonly Prefix[];
  readonly reach: HostReach;
  readonly dataPath: DataPath;
  /** Of IPv4: it may say that IPv6 is enough. */
  readonly dhcp: { isIpv6Mostly: boolean };
  /** Ask the host's name servers. */
  readonly find: Nat64PrefixDeps['find'];
  readonly clock: Clock;
  readonly log: Log;
}

export class Ipv6Service {
  readonly families: DnsFamilies;
  /** Undefined where guests have no IPv6. */
  readonly router: Advertiser | undefined;
  private readonly deps: Ipv6ServiceDeps;
  private readonly uplink: Uplink;
  private readonly hostNat64: HostNat64Prefix;

  constructor(deps: Ipv6ServiceDeps) {
    const { config, addresses, networks, reach, dataPath, find, clock, log } = deps;
    this.deps = deps;
    this.families = new DnsFamilies(config.dns.family, config.nat64, networks);
    this.router = serveRouter(config, addresses, dataPath.stack, clock);
    if (this.router !== undefined) dataPath.serveTime(this.router);
    this.hostNat64 = new HostNat64Prefix({ find, onChange: () => this.follow(this.uplink.now) });
    this.uplink = new Uplink({
      config,
      addresses: addresses.ipv6,
      reach,
      log,
      onChange: (state) => this.follow(state),
      onAwake: () => this.announceAgain(),
      clock,
      wallClock: Date.now,
    });
  }

  get now(): UplinkState {
    return this.uplink.now;
  }

  /** Called once `find` can be. */
  start(): void {
    this.follow(this.uplink.now);
  }

  /** Have the kernel report changes of the host's network. */
  watchWith(posix: Posix): void {
    this.uplink.watchWith(posix);
  }

  onNameServers(): void {
    this.hostNat64.onNameServers();
  }

  onSearch(search: readonly string[]): void {
    this.announce({ search });
  }

  close(): void {
    this.uplink.close();
    this.hostNat64.stop();
  }

  private follow({ hasRoute, hasIpv6, hasNat64, isHostWithoutIpv4 }: UplinkState): void {
    const { config, dataPath, dhcp } = this.deps;
    const { nat64 } = config;
    if (isHostWithoutIpv4) this.hostNat64.start();
    else this.hostNat64.stop();
    dataPath.translation.set({
      isOn: hasNat64,
      isForPrivate: hasNat64 && nat64.isForPrivate,
      hostPrefix: this.hostNat64.prefix,
    });
    dataPath.addressMap.hasRoute6 = hasRoute;
    this.families.hasIpv6Route = hasIpv6;
    this.families.hasNat64 = hasNat64;
    dhcp.isIpv6Mostly = hasNat64 && nat64.isIpv6Mostly;
    this.announce({ hasRoute, hasNat64 });
  }

  private announceAgain(): void {
    const { clock, dataPath } = this.deps;
    this.router?.announceAgain(clock.now());
    dataPath.flusher.schedule();
  }

  private announce(change: Partial<Announcement>): void {
    const { clock, dataPath } = this.deps;
    const { router } = this;
    router?.announce(clock.now(), { ...router.announced, ...change });
    dataPath.flusher.schedule();
  }
}
