/** Where guests may go, as a document says it: ordered rules, of which the first that matches decides, and a default. */
import type { Instant } from '../../base/time.ts';
import type { Prefix } from '../address-text.ts';
import type { NamePattern } from './policy-name.ts';

/**
 * - `deny`: the sender is informed that it is prohibited
 * - `reject`: as if nobody listened there
 * - `drop`: no answer
 */
export const POLICY_ACTIONS = ['allow', 'deny', 'reject', 'drop'] as const;
export type PolicyAction = (typeof POLICY_ACTIONS)[number];

export const POLICY_PROTOCOLS = ['tcp', 'udp', 'icmp'] as const;
export type PolicyProtocol = (typeof POLICY_PROTOCOLS)[number];

/**
 * - `host`: the host's loopback, by the host address, and every address of the host's interfaces
 * - `gateway`: what hawser itself serves, but DNS, which has names to obey
 * - `guest`: another guest, by a port that it has published
 * - `private`: networks that are not of the Internet, of the host's neighbourhood for one
 * - `outside`: everything else
 */
export const POLICY_PLACES = ['host', 'gateway', 'guest', 'private', 'outside'] as const;
export type PolicyPlace = (typeof POLICY_PLACES)[number];

export const POLICY_MODES = ['enforce', 'observe'] as const;
/** `observe`: nothing is blocked, what would be is counted and shown. */
export type PolicyMode = (typeof POLICY_MODES)[number];

export interface PortRange {
  readonly from: number;
  readonly to: number;
}

/** What is absent matches everything. */
export interface PolicyRule {
  readonly action: PolicyAction;
  /** A link's name, or the host name of a static lease: nothing that a guest says of itself. */
  readonly guest: string | undefined;
  readonly protocol: PolicyProtocol | undefined;
  /** Not for ICMP. */
  readonly ports: readonly PortRange[] | undefined;
  readonly prefix: Prefix | undefined;
  readonly name: NamePattern | undefined;
  readonly place: PolicyPlace | undefined;
  /** A client of TLS need not state the name. */
  readonly isSniOptional: boolean;
  /** Until then; undefined: for good. */
  readonly until: Instant | undefined;
  /** As people read it. */
  readonly text: string;
}

export interface PolicyRules {
  readonly byDefault: 'allow' | 'deny';
  readonly mode: PolicyMode;
  readonly rules: readonly PolicyRule[];
}

/** Of a flow, by the first rule that matches. Made once for each rule. */
export interface Verdict {
  readonly action: PolicyAction;
  /** The rule's place in the list, from 0 on; -1: none matches. */
  readonly rule: number;
  /** The rule as people read it. */
  readonly text: string;
  /** It matches by a name that the guest asked for: what the guest says first must agree. */
  readonly byName: boolean;
  readonly isSniOptional: boolean;
}
