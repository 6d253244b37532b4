/** What was decided about a flow that a guest wants, or a name that it asks for. */
import type { IpAddress } from '../../base/ip-address.ts';
import type { PolicyPlace } from '../../services/policy/policy.ts';
import type { Guest } from '../../stack/guest.ts';
import type { DeniedProtocol } from '../policy/denials.ts';
import type { BlockedWhy, DestinationProtocol } from './destination.ts';
import type { Evidence } from './flow.ts';

/** - `observed`: a policy that enforces would have denied it */
export const VERDICT_KINDS = ['allowed', 'denied', 'observed'] as const;
export type VerdictKind = (typeof VERDICT_KINDS)[number];

export interface VerdictRecord {
  readonly kind: VerdictKind;
  readonly owner: Guest;
  readonly protocol: DeniedProtocol;
  /** Undefined for names, and for what no guest may reach. */
  readonly place: PolicyPlace | undefined;
  /** Undefined for names. */
  readonly remote: IpAddress | undefined;
  /** 0 for pings and names. */
  readonly port: number;
  readonly name: string | undefined;
  /** Of the name. */
  readonly evidence: Evidence | undefined;
  /** Undefined: it is allowed. */
  readonly why: BlockedWhy | undefined;
  /** Of the policy: the rule; of what is denied for another reason, that in words. */
  readonly rule: string | undefined;
}

/** A flow that may begin. */
export interface AllowedFlow {
  readonly owner: Guest;
  readonly protocol: DestinationProtocol;
  readonly place: PolicyPlace | undefined;
  readonly remote: IpAddress;
  readonly port: number;
  readonly rule: string | undefined;
  /** The name that its guest has stated in the clear. */
  readonly stated?: string | undefined;
}
