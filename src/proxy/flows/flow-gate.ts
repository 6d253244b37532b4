/**
 * What is asked about each flow that destinations and policy allow, before it begins: the embedding program's hooks, then
 * the audit log, which has to have a record of it. Absent where there is neither, which costs one branch.
 */
import type { Duplex } from 'node:stream';
import type { IpAddress } from '../../base/ip-address.ts';
import type { PolicyPlace } from '../../services/policy/policy.ts';
import type { FlowId } from '../../stack/flow.ts';
import type { Guest } from '../../stack/guest.ts';

/** A flow that is wanted. */
export interface FlowAttempt {
  readonly owner: Guest;
  readonly protocol: 'tcp' | 'udp' | 'icmp';
  /** Undefined where it is not known yet. */
  readonly guest: IpAddress | undefined;
  readonly guestPort: number | undefined;
  /** As the guest sees it. */
  readonly remote: IpAddress;
  /** 0 for pings. */
  readonly remotePort: number;
  /** Of the policy: what allows it. */
  readonly rule: string | undefined;
  /** As rules call where it leads. */
  readonly place: PolicyPlace | undefined;
}

/** - `Duplex`: is the host's side of the connection. */
export type TcpAnswer =
  | { readonly kind: 'allow' }
  | { readonly kind: 'deny'; readonly why: GateWhy; readonly text: string }
  | { readonly kind: 'redirect'; readonly address: string; readonly port: number }
  | { readonly kind: 'duplex'; readonly duplex: Duplex };

/** - `audit`: there would be no record of it; `program`: a hook denies it. */
export type GateWhy = 'audit' | 'program';

export interface GateDenial {
  readonly why: GateWhy;
  /** In words. */
  readonly text: string;
  /** It is not known yet: to be asked again. */
  readonly isPending?: true;
}

/** Where a flow is sent instead. */
export interface Redirection {
  readonly address: string;
  readonly port: number;
}

/** Undefined: it may begin. */
export type GateAnswer = GateDenial | Redirection | undefined;

export interface FlowGate {
  /** @param decided called once, maybe before this returns */
  askTcp(attempt: FlowAttempt, decided: (answer: TcpAnswer) => void): void;
  /** For what cannot be held. */
  askNow(attempt: FlowAttempt): GateAnswer;
  /** Of a service of ours, which no hook is asked about. @returns undefined: it may begin */
  askService(attempt: FlowAttempt): GateDenial | undefined;
  /** A client of a published port, which is not read meanwhile. */
  askClient(client: ClientAttempt, decided: (denial: GateDenial | undefined) => void): void;
  /** As {@link askClient}, of a client by UDP. */
  askClientNow(client: ClientAttempt): GateDenial | undefined;
}

/** A client of a published port. */
export interface ClientAttempt {
  readonly publication: string;
  readonly protocol: 'tcp' | 'udp' | 'unix';
  /** Undefined of a Unix socket. */
  readonly address: string | undefined;
  readonly port: number | undefined;
  /** That it would reach; undefined: it is not there, or behind an agent. */
  readonly guest: IpAddress | undefined;
  readonly guestPort: number;
}

/** Of a connection that a guest asks for. */
export const tcpAttempt = (
  owner: Guest,
  { guest, guestPort, remote, remotePort }: FlowId,
  rule: string | undefined,
  place: PolicyPlace | undefined,
): FlowAttempt => {
  const protocol = 'tcp' as const;
  return { owner, protocol, guest, guestPort, remote, remotePort, rule, place };
};
