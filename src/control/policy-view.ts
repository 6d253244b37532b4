/** The policy of a running network, as the control API shows and changes it. */
export interface PolicyStateView {
  /** Counts the policies of this process. 0: there was none yet. */
  readonly generation: number;
  /** SHA-256 of the document. */
  readonly hash: string;
  /** Null: guests may go where they like. */
  readonly document: Readonly<Record<string, unknown>> | null;
  /** What is allowed and may be wider than it looks. */
  readonly warnings: readonly string[];
}

/** A flow that a guest may want to open. */
export interface PolicyProbe {
  readonly guest: string;
  /** A name or an address, and the port. */
  readonly destination: string;
  readonly protocol: 'tcp' | 'udp' | 'icmp';
}

export interface PolicyVerdictView {
  readonly action: 'allow' | 'deny' | 'reject' | 'drop';
  /** The rule that decides. */
  readonly rule: string;
  /** Its place in the document's list; null: no rule, but the default or a preset. */
  readonly index: number | null;
  /** Names are denied, and the address by itself is not. */
  readonly bestEffort: boolean;
  /** The policy observes: whatever is said here passes. */
  readonly observed: boolean;
  /** It is allowed by a name: what the client states in the clear has to agree, what it states inside TLS is not seen. */
  readonly inspected: boolean;
}

/** What a guest has tried in vain. */
export interface PolicyDenialView {
  readonly id: string;
  readonly guestId: number;
  /** What rules may call the guest. */
  readonly guest: string | null;
  /** `dns`: it has asked for a name. `ip`: it has looked for another guest, for whatever it was. */
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'dns' | 'ip';
  /** That it asked for, or by which it found the address. */
  readonly name: string | null;
  readonly address: string | null;
  /** 0 for pings, names, and Unix sockets of the host. */
  readonly port: number;
  readonly place: 'host' | 'gateway' | 'guest' | 'private' | 'outside' | null;
  /** The rule that forbids it, or what the guest said that does not agree with one. */
  readonly why: string;
  /** It was let pass: the policy observes. */
  readonly observed: boolean;
  readonly count: number;
  readonly first: string;
  readonly last: string;
  /** What else guests have found at the address: an approval of the address is for these as well. */
  readonly others: readonly string[];
}

/** Of what was denied: more, or other, than the same again by the same guest. */
export interface ApprovalScope {
  readonly anyGuest?: boolean | undefined;
  readonly anyPort?: boolean | undefined;
  /** `443/tcp`, `8000-8010`. */
  readonly port?: string | undefined;
  /** A date (RFC 3339). Default: until the policy is another, or hawser ends. */
  readonly until?: string | undefined;
}

export interface PolicySuggestionView {
  readonly document: Readonly<Record<string, unknown>>;
}

export interface PolicyBook {
  state(): PolicyStateView;
  /**
   * @param isExpected whether the policy that is replaced is the one that was meant to be
   * @throws PolicyError, PolicyConflict, and then nothing has changed
   */
  replace(
    document: unknown,
    isExpected?: (now: PolicyStateView) => boolean,
  ): Promise<PolicyStateView>;
  /** As {@link replace}, by a document of JSON, which takes no longer than a turn has at a time. */
  replaceText(
    text: string,
    isExpected?: (now: PolicyStateView) => boolean,
  ): Promise<PolicyStateView>;
  /** Guests may go where they like from now on. @throws PolicyConflict, and then nothing has changed */
  clear(isExpected?: (now: PolicyStateView) => boolean): PolicyStateView;
  /** @throws PolicyError when it names nothing */
  test(probe: PolicyProbe): PolicyVerdictView;
  /** Those of the last attempts at the end. */
  denials(): readonly PolicyDenialView[];
  /** In front of all other rules. @throws PolicyError */
  approve(id: string, scope: ApprovalScope): Promise<PolicyStateView>;
  /** A document for what guests do. @param guest all, when it is empty @throws PolicyError */
  suggest(guest: string): PolicySuggestionView;
}

/** A document, or a question about one, that is not usable; its message has a line for each problem. */
export class PolicyError extends Error {
  override name: string = 'PolicyError';
  readonly code = 'ERR_HAWSER_POLICY';
}

/** Another policy is in force than the one to be replaced. */
export class PolicyConflict extends Error {
  override name: string = 'PolicyConflict';
  readonly code = 'ERR_HAWSER_POLICY_CONFLICT';
}
