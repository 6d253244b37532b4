/**
 * What the host's network has for guests: a default route of IPv6, and translation to IPv4 (NAT64), by configuration and by
 * what the host has now. Whoever depends on it is notified of each change.
 */
import type { Log } from '../base/log.ts';
import type { Clock } from '../base/time.ts';
import { NativeUnavailableError, PosixError } from '../native/errors.ts';
import type { Posix } from '../native/posix.ts';
import { watchRoutes } from '../native/route-events.ts';
import type { Watch } from '../native/watch.ts';
import type { HostReach, Reach } from '../proxy/host-reach.ts';
import type { Ipv6Addresses } from './addresses.ts';
import type { NetworkConfig } from './config.ts';
import { HostSleep } from './host-sleep.ts';

export interface UplinkState {
  /** Guests have a default route of IPv6. */
  readonly hasRoute: boolean;
  /** It leads to IPv6 of the Internet: not to NAT64 alone. */
  readonly hasIpv6: boolean;
  readonly hasNat64: boolean;
  /** The host reaches IPv4 through its network's NAT64, if at all. */
  readonly isHostWithoutIpv4: boolean;
}

export type UplinkConfig = Pick<NetworkConfig, 'ipv6' | 'nat64'>;

/** @param isForGuests they have IPv6: without, there is neither a route nor NAT64 for them */
export function uplinkOf(
  { ipv6, nat64 }: UplinkConfig,
  reach: Pick<Reach, 'ipv4' | 'ipv6'>,
  isForGuests: boolean,
): UplinkState {
  const isHostWithoutIpv4 = reach.ipv6 === 'global' && !reach.ipv4;
  const isTranslated = nat64.use === 'on' || (nat64.use === 'auto' && isHostWithoutIpv4);
  const hasIpv6 = isForGuests && (ipv6.use === 'on' || reach.ipv6 === 'global');
  const hasNat64 = isForGuests && isTranslated;
  return { hasRoute: hasIpv6 || hasNat64, hasIpv6, hasNat64, isHostWithoutIpv4 };
}

export interface UplinkDeps {
  readonly config: UplinkConfig;
  /** Of the gateway; undefined: guests have IPv4 only. */
  readonly addresses: Ipv6Addresses | undefined;
  /** It was asked once. */
  readonly reach: HostReach;
  readonly log: Log;
  readonly onChange: (state: UplinkState) => void;
  /** The host has slept, and guests with it: what they know may have expired. */
  readonly onAwake: () => void;
  readonly clock: Pick<Clock, 'now'>;
  /** Milliseconds since the Unix epoch. */
  readonly wallClock: () => number;
}

/** The kernel has no IPv6, or no use of it for us. */
const NO_FAMILY: ReadonlySet<string> = new Set([
  'EAFNOSUPPORT',
  'EADDRNOTAVAIL',
  'EPERM',
  'EACCES',
]);

export class Uplink {
  private readonly deps: UplinkDeps;
  private known: UplinkState;
  private watch: Watch | undefined = undefined;

  constructor(deps: UplinkDeps) {
    this.deps = deps;
    this.known = this.stateOf(deps.reach.now);
    this.noteStart();
    deps.reach.follow((reach) => this.onReach(reach));
    const { clock, wallClock } = deps;
    const sleep = new HostSleep(clock.now(), wallClock());
    deps.reach.whenAsked(() => {
      if (sleep.hasSlept(clock.now(), wallClock())) deps.onAwake();
    });
  }

  get now(): UplinkState {
    return this.known;
  }

  /** Have the kernel report changes of the host's network, which is asked about only now and then else. */
  watchWith(posix: Posix): void {
    const { reach, log } = this.deps;
    try {
      this.watch = watchRoutes(posix, reach.onNetworkChange);
      reach.onNetworkChange(); // what has changed since the start
    } catch (error) {
      if (!(error instanceof PosixError || error instanceof NativeUnavailableError)) throw error;
      log.debug({ err: error }, "changes of the host's network are noticed late");
    }
  }

  close(): void {
    this.deps.reach.close();
    this.watch?.close();
  }

  private stateOf(reach: Reach): UplinkState {
    const { config, addresses } = this.deps;
    return uplinkOf(config, reach, addresses !== undefined);
  }

  private onReach(reach: Reach): void {
    const { log, onChange } = this.deps;
    this.noteNetwork(reach);
    const before = this.known;
    const state = this.stateOf(reach);
    if (
      before.hasIpv6 === state.hasIpv6 &&
      before.hasNat64 === state.hasNat64 &&
      before.isHostWithoutIpv4 === state.isHostWithoutIpv4
    ) {
      return;
    }
    this.known = state;
    if (before.hasRoute !== state.hasRoute) {
      const fields = { ipv6: reach.ipv6, code: reach.code6, nat64: state.hasNat64 };
      log.info(
        fields,
        state.hasRoute
          ? 'guests have a default route of IPv6 now'
          : 'guests have no default route of IPv6 any more: the host has none',
      );
    }
    onChange(state);
  }

  /** The host's own network is that of guests, and has become another. */
  private noteNetwork({ source6 }: Reach): void {
    const { config, addresses, log } = this.deps;
    if (config.ipv6.subnet !== 'host' || addresses === undefined || source6 === undefined) return;
    const { prefix } = addresses;
    if (prefix.a === source6.a && prefix.b === source6.b) return;
    const fields = { address: `${source6}`, guests: `${prefix}/64` };
    log.warn(fields, "the host's IPv6 network has changed: guests have it after a restart");
  }

  private noteStart(): void {
    const { addresses, log, reach } = this.deps;
    if (addresses === undefined) return;
    const { ipv6, code6 } = reach.now;
    const isWithout = code6 !== undefined && NO_FAMILY.has(code6);
    if (isWithout)
      log.info({ code: code6 }, 'this host has no IPv6: guests reach none but this network');
    else log.debug({ ipv6, code: code6, ...this.known }, 'IPv6 of the host');
  }
}
