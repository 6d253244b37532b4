/** Where a flow of a guest may go, or why it may not. */
import type { IpAddress } from '../../base/ip-address.ts';
import type { PolicyPlace } from '../../services/policy/policy.ts';
import type { Guest } from '../../stack/guest.ts';
import type { RefusedWhy } from '../address-map.ts';
import type { NameCheck } from '../inspect/name-check.ts';
import type { DeniedProtocol } from '../policy/denials.ts';
import type { FlowVerdict } from './flow.ts';
import type { GateWhy, Redirection } from './flow-gate.ts';
import type { AnyVia, DatagramVia } from './via.ts';

export type DestinationProtocol = 'tcp' | 'udp' | 'icmp';

export type Loopback = '127.0.0.1' | '::1';

export type Destination = HostLoopback | Outside | Gateway | OwnDnsDestination | RefusedDestination;

export interface Gateway {
  readonly kind: 'gateway';
}

/** hawser's own DNS, in the place of another resolver. */
export interface OwnDnsDestination {
  readonly kind: 'dns';
  readonly verdict: FlowVerdict;
}

export interface HostLoopback {
  readonly kind: 'host-loopback';
  readonly address: Loopback;
  /** For when nobody listens there: the loopback of the other family. Undefined: it is closed. */
  readonly twin: Loopback | undefined;
  /** As those of {@link Outside}. */
  readonly check?: NameCheck | undefined;
  readonly verdict?: FlowVerdict | undefined;
  readonly via?: undefined;
  readonly relay?: undefined;
}

export interface Outside {
  readonly kind: 'outside';
  readonly address: string;
  /** Default: that which the guest asked for. */
  readonly port?: number | undefined;
  /** It was redirected, and would have gone to this address: that is what a policy has decided on. */
  readonly insteadOf?: string | undefined;
  /** It stands for another, which the guest asked for. */
  readonly isTranslated: boolean;
  /** Decides by what the guest says first; absent where that makes no difference. */
  readonly check?: NameCheck | undefined;
  /** Undefined where there is no policy. */
  readonly verdict?: FlowVerdict | undefined;
  /** Through an upstream proxy, or a tunnel; absent where there is none for it. */
  readonly via?: AnyVia | undefined;
  /** Of UDP, likewise. */
  readonly relay?: DatagramVia | undefined;
}

export interface RefusedDestination {
  readonly kind: 'refused';
  readonly why: BlockedWhy;
  /** The counter of refusals that it is one of. */
  readonly count: string;
  /** How the sender is informed; never about what was sent to many, or from nowhere (RFC 1122 §3.2.2). */
  readonly answer: RefusalAnswer;
}

/** - `refused`: as if nobody listened there */
export type RefusalAnswer = 'prohibited' | 'refused' | 'none';

/** Of a datagram. */
export const REFUSAL_ERRORS = { prohibited: 'prohibited', refused: 'port-unreachable' } as const;

/** What a guest has asked for in vain. */
export interface Block {
  readonly owner: Guest;
  readonly protocol: DeniedProtocol;
  /** Undefined for a name that it may not ask for. */
  readonly remote: IpAddress | undefined;
  /** 0 for pings. */
  readonly port: number;
  /** That it asked for, or by which it found the address. */
  readonly name?: string | undefined;
  readonly why: BlockedWhy;
  /** Of a policy: the rule that forbids it, or what the guest said that does not agree with one. */
  readonly rule?: string | undefined;
  /** As a policy calls where that is. */
  readonly place?: PolicyPlace | undefined;
  /** It is denied for what the guest has stated to the server: this name, or none. */
  readonly stated?: { readonly name: string | undefined } | undefined;
  /** It was let pass: the policy observes. */
  readonly isObserved?: boolean | undefined;
}

/** - `proxied`: an upstream proxy has no way for it */
export type BlockedWhy = RefusedWhy | GateWhy | 'policy' | 'proxied';

/** @param to where it would go */
export const redirected = (
  { address: insteadOf, check, verdict }: HostLoopback | Outside,
  { address, port }: Redirection,
): Outside => ({
  ...{ kind: 'outside', address, port, isTranslated: true, insteadOf, check, verdict },
});

/** `to`, as a policy lets go there. Written out, since each flow has one: V8 makes a new shape for a spread with more behind it. */
export function withVerdict(
  to: HostLoopback | Outside,
  verdict: FlowVerdict,
  check: NameCheck | undefined,
): HostLoopback | Outside {
  const { kind } = to;
  if (kind === 'host-loopback') {
    return { kind, address: to.address, twin: to.twin, check, verdict };
  }
  const { address, port, insteadOf, isTranslated, via, relay } = to;
  return { kind, address, port, insteadOf, isTranslated, check, verdict, via, relay };
}
