/** Flows as the control API and the library show them. */
import type { Evidence, FlowProtocol, FlowService } from '../proxy/flows/flow.ts';
import type { VerdictKind } from '../proxy/flows/verdict.ts';
import type { PolicyPlace } from '../services/policy/policy.ts';

export interface FlowView {
  /** Never reused by this daemon, and greater than those of flows before; URL-safe. */
  readonly id: string;
  readonly protocol: FlowProtocol;
  /** Who opened it. */
  readonly openedBy: 'guest' | 'host';
  /** Through the stack, the agent, or the guest's SSH server. */
  readonly via: 'net' | 'mux' | 'ssh';
  /**
   * What it leads to inside of hawser: `dns` and `guest-api` of the gateway, the link to the agent (`mux`), the login of
   * SSH forwards (`ssh`), the embedding program. Null: a socket of the host.
   */
  readonly service: FlowService | null;
  /** The id of the published port that it came by. */
  readonly publication: string | null;
  /** The guest, as in the list of guests; null where it is not known. */
  readonly guestId: number | null;
  /** Of its lease. */
  readonly guestName: string | null;
  readonly guestAddress: string | null;
  /** For ICMP the echo identifier. */
  readonly guestPort: number | null;
  /** Of a Unix socket in the guest. */
  readonly guestPath: string | null;
  readonly remoteAddress: string | null;
  /**
   * The address that the host's socket is for, where it is another than the guest knows: IPv4 behind NAT64, the loopback
   * behind the host address. Null: the same, or no socket of the host.
   */
  readonly dialledAddress: string | null;
  /** The upstream proxy that it goes through, without credentials: `http://HOST:PORT`. */
  readonly proxy: string | null;
  /** 0 for ICMP. */
  readonly remotePort: number | null;
  /** Of a Unix socket of the host. */
  readonly remotePath: string | null;
  /** Of the remote. */
  readonly name: string | null;
  /**
   * How the name is known. `sni`: the guest has stated it in the clear; `asked`: of the names that the guest has asked
   * the gateway's DNS for, only this one had the address; `inferred`: several had, and this one was asked for last.
   */
  readonly evidence: Evidence | null;
  /** Of the policy: what allows it. Null: no policy was asked. */
  readonly rule: string | null;
  /** Of a stream through the stack RFC 9293's in lower case, or `connecting`; of others `active`, or the channel's. */
  readonly state: string;
  /** Payload. */
  readonly bytesToHost: number;
  readonly bytesToGuest: number;
  /** Null for streams. */
  readonly packetsToHost: number | null;
  readonly packetsToGuest: number | null;
  readonly ageMs: number;
  readonly idleMs: number;
  /** Null unless it is TCP through the stack. */
  readonly tcp: TcpFlowView | null;
}

export interface TcpFlowView {
  /** 0 before the first sample. */
  readonly srttMs: number;
  readonly cwndBytes: number;
  readonly retransmits: number;
  readonly bufferedToHost: number;
  readonly bufferedToGuest: number;
}

/** A destination that a guest may not reach. */
export interface BlockView {
  readonly guestId: number;
  readonly guestName: string | null;
  /** The first Ethernet address that it was heard with. */
  readonly guestMac: string | null;
  /** `dns`: it may not ask for a name. `ip`: it has looked for another guest, for whatever it was. */
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'dns' | 'ip';
  /** Null for `dns`. */
  readonly remoteAddress: string | null;
  readonly remotePort: number;
  /** That it asked for, or by which it found the address; null where there is none. */
  readonly name: string | null;
  /** `link-local`, `metadata`, `loopback`, `own-listener`, ... */
  readonly why: string;
  /** Of the policy: the rule that forbids it; null where it is not the policy's. */
  readonly rule: string | null;
}

export interface FlowEvent {
  readonly kind: 'opened' | 'ended';
  readonly flow: FlowView;
  /** Of an end: `finished`, or what else has ended it: `reset-by-guest`, `expired`, `evicted`, a code of the system. */
  readonly why: string | null;
}

export interface BlockEvent {
  /** `observed`: a policy that enforces would have blocked it. */
  readonly kind: 'blocked' | 'observed';
  readonly block: BlockView;
}

/** What was decided about a flow that a guest wants, or a name that it asks for. */
export interface VerdictView extends Omit<BlockView, 'why'> {
  /** As rules call where it leads: null of names, and of what no guest may reach. */
  readonly place: PolicyPlace | null;
  /** How the name is known, as of {@link FlowView.evidence}. Of `sni` it is what the guest has stated. */
  readonly evidence: Evidence | null;
  /** As of {@link BlockView.why}; null: it is allowed. */
  readonly why: string | null;
}

export interface VerdictEvent {
  /** `observed`: a policy that enforces would have denied it. */
  readonly kind: VerdictKind;
  readonly verdict: VerdictView;
  /** More than 1: so many of this kind the guest has had in that second, beside those told before; this is the first. */
  readonly count: number;
}

/** Too many at a time: some before the next are left out. */
export interface MissedEvents {
  readonly kind: 'missed';
  readonly events: number;
}

export type FlowFeedEvent = FlowEvent | BlockEvent | MissedEvents;

export interface FlowCount {
  readonly protocol: FlowProtocol;
  readonly open: number;
  /** Since the start. */
  readonly opened: number;
}

/** The book of flows as the API uses it. */
export interface FlowsView {
  /** All of them, a part at a time: the caller lets others have their turn in between. */
  parts(after: number): Iterable<readonly FlowView[]>;
  countAfter(id: number): number;
  find(id: string): FlowView | undefined;
  /** End the flow at both ends. @returns false when none has this id */
  close(id: string): boolean;
  counts(): readonly FlowCount[];
  /** @returns what ends it */
  follow(listener: (event: FlowFeedEvent) => void): () => void;
}
