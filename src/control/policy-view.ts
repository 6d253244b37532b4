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
  /** @throws PolicyError when it names nothing */
  test(probe: PolicyProbe): PolicyVerdictView;
}

/** A document, or a question about one, that is not usable; its message has a line for each problem. */
export class PolicyError extends Error {
  readonly code = 'ERR_HAWSER_POLICY';
}

/** Another policy is in force than the one to be replaced. */
export class PolicyConflict extends Error {
  readonly code = 'ERR_HAWSER_POLICY_CONFLICT';
}
