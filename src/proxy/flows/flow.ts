/** A flow in the book, and what its owner says about it. */
import type { Chained } from '../../base/chain.ts';
import type { IpAddress } from '../../base/ip-address.ts';
import type { Instant } from '../../base/time.ts';
import type { TcpFlowInfo } from '../../stack/flow.ts';
import type { Guest } from '../../stack/guest.ts';
import type { Way } from '../ports/publish-spec.ts';

/** `unix`: a stream to or from a Unix socket. */
export const FLOW_PROTOCOLS = ['tcp', 'udp', 'icmp', 'unix'] as const;
export type FlowProtocol = (typeof FLOW_PROTOCOLS)[number];

/** What is at hawser's end instead of a socket of the host. */
export const FLOW_SERVICES = ['dns', 'guest-api', 'mux', 'ssh', 'program'] as const;
export type FlowService = (typeof FLOW_SERVICES)[number];

export interface FlowEnd {
  /** Undefined where it is not known, or a Unix socket. */
  readonly address: IpAddress | undefined;
  /** Of a ping the identifier. */
  readonly port: number | undefined;
  /** Of a Unix socket. */
  readonly path?: string | undefined;
}

/** What the policy has said about a flow, when it was opened. */
export interface FlowVerdict {
  /** That allows it. */
  readonly rule: string;
  /** The name that its guest has stated in the clear since, and that was allowed: the last one. */
  readonly stated: string | undefined;
  /** Every one of these. */
  readonly allStated: readonly string[];
}

/**
 * How the name of a flow is known:
 * - `sni`: the guest has stated it in the clear: a server name of TLS or QUIC, a Host of HTTP
 * - `asked`: of the names that the guest has asked for, only this one had the address
 * - `inferred`: several had, and this one was asked for last
 */
export const EVIDENCES = ['asked', 'sni', 'inferred'] as const;
export type Evidence = (typeof EVIDENCES)[number];

/** Made on demand: the counters are the owner's own. */
export interface FlowFacts {
  readonly guest: FlowEnd;
  /** Where a flow changes it, the last one. */
  readonly remote: FlowEnd;
  readonly openedBy: 'guest' | 'host';
  /** The address that the host's socket is for, where it is another than the remote's: of NAT64, or of the loopback. */
  readonly dialled?: string | undefined;
  /** Of a flow that was redirected, the address that it would have gone to. */
  readonly insteadOf?: string | undefined;
  /** The upstream proxy that it goes through, without credentials. */
  readonly proxy?: string | undefined;
  /** Through the stack, the agent, or the guest's SSH server. */
  readonly via: Way;
  readonly service?: FlowService | undefined;
  /** By which the guest had found the remote, where a flow changes it. */
  readonly names?: readonly string[] | undefined;
  /** Undefined: no policy was asked. */
  readonly verdict?: FlowVerdict | undefined;
  /** The id of the publication that it came by. */
  readonly publication?: string | undefined;
  /** Of the multiplexer: its name, where rules of a policy are for it. */
  readonly link?: string | undefined;
  readonly state: string;
  /** Payload. */
  readonly bytesToHost: number;
  readonly bytesToGuest: number;
  /** Undefined for streams. */
  readonly packetsToHost?: number | undefined;
  readonly packetsToGuest?: number | undefined;
  readonly lastAt: Instant;
  readonly tcp?: TcpFlowInfo | undefined;
}

/** What a flow belongs to: it opens the flow in the book, and ends it there. */
export interface FlowSource {
  describeFlow(): FlowFacts;
  /** End it at both ends, as a reset does. */
  endFlow(): void;
}

/** Only the book writes its fields, but for `source`. */
export class Flow implements Chained<Flow> {
  chainNext: Flow | undefined = undefined;
  chainPrev: Flow | undefined = undefined;
  /** Unique for the life of the book, of all protocols; later flows have greater ones. */
  readonly id: number;
  readonly protocol: FlowProtocol;
  /** Undefined where it is not known, as behind a multiplexer's socket. */
  readonly owner: Guest | undefined;
  /** Of a flow that does not change it. */
  readonly remote: IpAddress | undefined;
  readonly since: Instant;
  /** Replaced when a connect has become a connection. */
  source: FlowSource;
  isOpen = true;
  /** Of the remote, as the guest had asked for them when the flow was opened: the last one last. */
  readonly names: readonly string[];

  constructor(
    id: number,
    protocol: FlowProtocol,
    owner: Guest | undefined,
    remote: IpAddress | undefined,
    since: Instant,
    source: FlowSource,
    names: readonly string[],
  ) {
    this.id = id;
    this.protocol = protocol;
    this.owner = owner;
    this.remote = remote;
    this.since = since;
    this.source = source;
    this.names = names;
  }
}

/** A flow at one moment. */
export interface FlowRecord {
  readonly id: number;
  readonly protocol: FlowProtocol;
  readonly owner: Guest | undefined;
  readonly since: Instant;
  readonly name: string | undefined;
  /** Of the name; undefined without one. */
  readonly evidence: Evidence | undefined;
  readonly facts: FlowFacts;
}
