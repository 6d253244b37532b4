/**
 * The running network as the control API sees it. Everything is plain data that survives
 * `JSON.stringify`, made on demand: nothing here is kept up to date between requests. Addresses are
 * text (dotted quads, RFC 5952); times are milliseconds before the call unless their
 * name says otherwise.
 */

import type { PartState } from '../native/sandbox/parts.ts';
import type { NameRecords } from '../services/dns/name-records.ts';
import type { FlowsView, FlowView } from './flow-view.ts';
import type { PolicyBook } from './policy-view.ts';
import type { ProxyBook } from './proxy-view.ts';

export interface NetworkView {
  health(): HealthView;
  info(): NetworkInfoView;
  /** Every guest that has a link now, and those that left and still hold a lease. */
  guests(): readonly GuestView[];
  /** What guests share. */
  budgets(): readonly BudgetView[];
  /** Everything that flows. There may be tens of thousands: `flowBook` has them in parts. */
  flows(): readonly FlowView[];
  /** End the flow at both ends. @returns false when no flow has this id */
  closeFlow(id: string): boolean;
  readonly flowBook: FlowsView;
  readonly policy: PolicyBook;
  readonly proxy: ProxyBook;
  readonly dnsRecords: NameRecords;
  leases(): readonly LeaseView[];
  ports(): readonly PortView[];
  conflicts(): ConflictsView;
  /** The multiplexer's links to agents in guests. */
  mux(): readonly MuxLinkView[];
  /** Traffic since the start, over all links. */
  traffic(): TrafficView;
  /**
   * Counters by owner, then by name: `{ "drops": { "udp-bad-checksum": 3 }, "tcp": { … } }`. The group
   * `drops` is dropped frames by reason; the names of other groups are for display only.
   */
  counters(): Readonly<Record<string, Readonly<Record<string, number>>>>;
}

export interface HealthView {
  /** `degraded`: the network works, except for what `problems` names. */
  readonly status: 'ok' | 'degraded';
  /** Sentences that state what does not work and what to do. */
  readonly problems: readonly string[];
}

export interface NetworkInfoView {
  readonly subnet: string;
  readonly gateway: string;
  /** Null when the host's loopback is closed to guests. */
  readonly hostIp: string | null;
  /** Null where guests have IPv4 only. */
  readonly ipv6: Ipv6View | null;
  readonly gatewayMac: string;
  readonly mtu: number;
  /** What guests may send to each other: see `--isolate-guests` and `--trust-guests`. */
  readonly separation: 'separate' | 'isolate' | 'trust';
  readonly links: readonly LinkView[];
  /** The longest that guests' traffic has kept the event loop in one turn. */
  readonly longestTurnMs: number;
  /** Upstream resolvers in use, as `address#port`. */
  readonly dnsUpstreams: readonly string[];
  /** `DOMAIN=SERVER`. */
  readonly dnsDomains: readonly string[];
  readonly dnsSearch: readonly string[];
}

export interface Ipv6View {
  /** A /64. */
  readonly subnet: string;
  readonly gateway: string;
  /** Null when the host's loopback is closed to guests. */
  readonly hostIp: string | null;
  /** Guests have a default route, since the host has one, or by configuration. */
  readonly route: boolean;
  /** Guests reach IPv4 by 64:ff9b::/96. */
  readonly nat64: boolean;
}

/** What the process has given up. */
export interface SandboxView {
  readonly mode: 'on' | 'off' | 'strict';
  /** Empty without one. */
  readonly parts: readonly PartState[];
}

/** A link that guests attach to. */
export interface LinkView {
  /** The specification, with the path or port actually bound: `qemu:/run/…/qemu.sock`. */
  readonly link: string;
  readonly attachedGuests: number;
}

export interface BudgetView {
  readonly name: string;
  /** Descriptors, bytes or entries; of which `kept` are lent to the host alone. */
  readonly whole: number;
  readonly kept: number;
  readonly heldByHost: number;
  readonly heldByGuests: number;
  /** Requests of guests refused, and times that one gave way to another. */
  readonly refused: number;
  readonly evicted: number;
}

export interface ShareView {
  readonly held: number;
  readonly refused: number;
  readonly evicted: number;
}

export interface GuestView {
  /** Of the guest that this machine belongs to: all that are behind one link are one guest. Null before it is heard. */
  readonly id: number | null;
  readonly mac: string;
  /** Addresses seen, asked for or leased (of the first two at most 256): of IPv4, of IPv6, link-local ones. Those that are leased come first of their kind. */
  readonly addresses: readonly string[];
  readonly hostname: string | null;
  /** The attached link's name, e.g. `qemu:/run/x.sock#3`; null when it is not attached. */
  readonly link: string | null;
  readonly attachedMs: number | null;
  /** Since the guest's first link. */
  readonly knownMs: number | null;
  /** What the guest holds of each budget that it has used, by name. */
  readonly shares: Readonly<Record<string, ShareView>>;
  readonly framesToHost: number;
  readonly framesToGuest: number;
  readonly bytesToHost: number;
  readonly bytesToGuest: number;
  /** Dropped for an address of another guest, or for what may not pass between guests. */
  readonly framesRefused: number;
  /** Flows and datagrams to destinations that are closed to it, by protocol and reason: `tcp-link-local`. */
  readonly blocked: Readonly<Record<string, number>>;
}

/** An address that a guest uses though it is another's: its frames with it are dropped. */
export interface ConflictView {
  readonly address: string;
  readonly kind: 'ethernet' | 'ipv4' | 'ipv6';
  readonly claimant: ConflictPartyView;
  /** Who has it. Not attached, and so without a link: it is leased to it, or waits for its return. */
  readonly owner: ConflictPartyView;
  readonly sinceMs: number;
  readonly lastMs: number;
  /** How often it was refused. */
  readonly times: number;
}

export interface ConflictPartyView {
  /** Null while it is not attached. */
  readonly guestId: number | null;
  readonly guestName: string | null;
  readonly guestMac: string;
  readonly link: string | null;
}

export interface ConflictsView {
  /** Of the last minute, at most 8 of a link. */
  readonly conflicts: readonly ConflictView[];
  /** How often others were refused, of links that are attached and have 8. */
  readonly unlisted: number;
}

export interface LeaseView {
  readonly mac: string;
  readonly address: string;
  readonly hostname: string | null;
  /** From the configuration; it does not expire. */
  readonly static: boolean;
  /** ISO 8601; null for a static lease. */
  readonly expiresAt: string | null;
}

export interface PortView {
  readonly id: string;
  readonly protocol: 'tcp' | 'udp' | 'unix';
  /**
   * Where it listens: `localhost` is 127.0.0.1 and ::1, `*` every address of both families. Null for a
   * Unix socket, as its port is.
   */
  readonly hostAddress: string | null;
  /** The port actually bound. */
  readonly hostPort: number | null;
  readonly hostPath: string | null;
  /** Null: see `guest`. Through the agent, what it dials. */
  readonly guestAddress: string | null;
  /** The requested name or Ethernet address; null with an address, or for the first guest. */
  readonly guest: string | null;
  /** The guest that a client would reach now; null through the agent. */
  readonly guestNow: GuestNowView | null;
  /** Of the SSH server, where it leads through that; else null when it leads to a Unix socket. */
  readonly guestPort: number | null;
  readonly guestPath: string | null;
  /** Through the stack, the agent, or the guest's SSH server. */
  readonly via: 'net' | 'mux' | 'ssh';
  readonly sourceAddress: 'preserve' | 'gateway';
  readonly proxyProtocol: 'v1' | 'v2' | null;
  /** `connection`: it ends with the connection that requested it. */
  readonly lease: 'connection' | null;
  readonly annotation: string | null;
  /** The publisher: `config`, `library` (the embedding program), `api`, `agent`, or the address of a guest. */
  readonly owner: string;
  /** That of the multiplexer, where the agent behind it is the owner. */
  readonly link: string | null;
  /** TCP connections, or UDP clients, at the moment. */
  readonly active: number;
}

/** A port that an agent wants, and the host does not give it: it is tried again. */
export interface WaitingPortView {
  readonly protocol: 'tcp' | 'udp';
  readonly hostAddress: string;
  readonly hostPort: number;
  readonly guestAddress: string;
  readonly guestPort: number;
  /** As of a port. */
  readonly owner: string;
  /** To the agent. */
  readonly link: string | null;
  readonly code: string;
  readonly problem: string;
}

/** Ports that an agent wants beyond the number that it may want. */
export interface LeftOutView {
  readonly owner: string;
  readonly link: string | null;
  readonly ports: number;
}

export interface GuestNowView {
  /** Null while it is not known. */
  readonly address: string | null;
  readonly mac: string | null;
  /** Its link is up. */
  readonly attached: boolean;
}

export interface MuxLinkView {
  /** The specification: `unix:/run/agent.sock`. */
  readonly link: string;
  /** A listening link is always `listening`; one that dials is `connecting` until it is up. */
  readonly state: 'listening' | 'connecting' | 'connected';
  /** Why the last attempt failed or the last connection ended; '' when there is none. */
  readonly problem: string;
  readonly peers: readonly MuxPeerView[];
}

export interface MuxPeerView {
  readonly id: number;
  /** `unresponsive`: it left an Open without an answer, and has sent nothing since. */
  readonly state: 'greeting' | 'ready' | 'unresponsive';
  /** Null before the handshake. */
  readonly dialect: 'hawser' | 'vpnkit' | null;
  /** Our role: which end dialled the link. */
  readonly role: 'connector' | 'listener';
  readonly upMs: number;
  /** 0 when no ping was answered yet; VPNKit's dialect has none. */
  readonly rttMs: number;
  readonly channels: number;
  /** Channels opened by us and by the peer since the link is up. */
  readonly opened: number;
  readonly accepted: number;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  /** Promised to the peer as receive windows. */
  readonly windowBytes: number;
  readonly drops: Readonly<Record<string, number>>;
}

export interface TrafficView {
  readonly framesToHost: number;
  readonly framesToGuest: number;
  /** Frame bytes. */
  readonly bytesToHost: number;
  readonly bytesToGuest: number;
}
