/**
 * What `createNetwork` takes and gives: the effective configuration after defaults, YAML and command
 * line were merged and every value was checked. Plain data, so that a launcher can write it down.
 */
import type { Log } from '../base/log.ts';
import type { NetworkView } from '../control/network-view.ts';
import type { PortBook } from '../proxy/ports/port-table.ts';
import type { SourceAddress } from '../proxy/ports/publish-spec.ts';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export const LOG_FORMATS = ['pretty', 'json'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

export interface NetworkOptions {
  readonly name: string;
  /** Link specifications; `parseLinkSpec` of `transports/link-spec.ts` accepts each. At least one. */
  readonly listen: readonly string[];
  /** IPv4 CIDR in canonical form (host bits zero), prefix /8 to /29. */
  readonly subnet: string;
  readonly gateway: string;
  /** Undefined: the host's loopback is closed to guests. */
  readonly hostIp: string | undefined;
  /** 576..65520. */
  readonly mtu: number;
  /** Publications as given; `parsePublish` of `proxy/ports/publish-text.ts` accepts each. */
  readonly publish: readonly string[];
  /** What guests see as the client of a published port, where the port does not say. */
  readonly sourceAddress: SourceAddress;
  readonly guestApi: GuestApiOptions;
  readonly mux: MuxLinkOptions;
  readonly dns: DnsOptions;
  readonly leases: LeaseOptions;
  readonly api: ApiOptions;
  readonly pidFile: string | undefined;
  /** Readiness is one line of JSON on this descriptor. */
  readonly readyFd: number | undefined;
  readonly exitWithGuest: boolean;
  readonly log: LogOptions;
  /** Verify TCP and UDP checksums of links that do not vouch for them. */
  readonly verifyChecksums: boolean;
  /** How long to poll before sleeping, in us; undefined: `defaultWindowUs` of `proxy/busy-poll.ts`. */
  readonly busyPollUs: number | undefined;
}

/** Whether guests may publish ports through `http://GATEWAY/`, and where. */
export interface GuestApiOptions {
  readonly enabled: boolean;
  /** Rules; `parseBindRule` of `control/ports/bind-rules.ts` accepts each. */
  readonly bind: readonly string[];
}

/** The multiplexer to agents in guests. */
export interface MuxLinkOptions {
  /** Links; `parseMuxLink` of `transports/mux/mux-link-spec.ts` accepts each. */
  readonly links: readonly string[];
  /** What guests may have dialled here; `parseTargetRule` accepts each. None: nothing. */
  readonly allow: readonly string[];
}

export interface DnsOptions {
  /** Undefined: the host's resolver configuration, followed live. */
  readonly upstreams: readonly DnsUpstream[] | undefined;
  /** Undefined: the host's. */
  readonly search: readonly string[] | undefined;
  readonly zones: readonly DnsZone[];
  readonly hostsFile: string | undefined;
}

export interface DnsUpstream {
  readonly address: string;
  readonly port: number;
}

/** `zone` itself and every name below it resolve to `address`. Lower case, no trailing dot. */
export interface DnsZone {
  readonly zone: string;
  readonly address: string;
}

export interface LeaseOptions {
  readonly file: string | undefined;
  readonly static: readonly StaticLease[];
}

export interface StaticLease {
  /** Lower case, colons. */
  readonly mac: string;
  readonly address: string;
  readonly hostname: string | undefined;
}

export type ApiOptions =
  | { readonly kind: 'unix'; readonly path: string }
  | {
      readonly kind: 'tcp';
      readonly address: string;
      readonly port: number;
      readonly tokenFile: string;
    };

export interface LogOptions {
  readonly level: LogLevel;
  /** Undefined: pretty on a terminal, else JSON. */
  readonly format: LogFormat | undefined;
}

/** A running network. Made by {@link CreateNetwork} with every link and publication accepting. */
export interface Network {
  readonly view: NetworkView;
  /** The published ports. */
  readonly ports: PortBook;
  /**
   * Register what to do each time the last attached guest detached. Registered once, before the
   * event loop runs again after creation.
   */
  onLastGuestGone(callback: () => void): void;
  /**
   * Refuse guests' connections to a TCP listener of the daemon's own, the control API.
   *
   * @param address as it was bound; `0.0.0.0` and `::` stand for every address of the host
   */
  denyGuests(address: string, port: number): void;
  /** Detach every guest, reset every flow, write leases, remove the links' sockets. Once. */
  close(): Promise<void>;
}

/**
 * Start a network. `api`, `pidFile`, `readyFd`, `exitWithGuest` and `log` of the options are the
 * daemon's business and ignored here.
 *
 * @throws Error whose message says what failed, on what, and what to do; nothing is left behind
 */
export type CreateNetwork = (options: NetworkOptions, log: Log) => Promise<Network>;
