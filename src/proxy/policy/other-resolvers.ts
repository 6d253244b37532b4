/**
 * Resolvers other than hawser's own DNS, where a policy denies something: who asks one finds addresses of names that the
 * policy denies, and says their names to others. Known by their ports: 53 in the clear, where our own DNS can answer in
 * their place, and 853 over TLS or QUIC (RFC 7858, RFC 9250), where nobody else can. A rule that allows one as such is
 * obeyed: see {@link PolicyEngine.means}.
 */
import type { PolicyProtocol, Verdict } from '../../services/policy/policy.ts';
import type { PolicyEngine } from '../../services/policy/policy-engine.ts';

interface PolicyFlow {
  readonly protocol: PolicyProtocol;
  readonly port: number;
}

/**
 * - `allow`: as the rules say
 * - `redirect`: our own DNS answers in their place, where it can
 * - `refuse`: as if they were not there
 */
export const OTHER_RESOLVERS = ['allow', 'redirect', 'refuse'] as const;
export type OtherResolvers = (typeof OTHER_RESOLVERS)[number];

const PLAIN_PORT = 53;
const ENCRYPTED_PORT = 853;

const verdict = (action: Verdict['action'], text: string): Verdict => ({
  ...{ action, rule: -1, text, byName: false, isSniOptional: false },
});

/** Our own DNS answers; whoever cannot have it do so refuses the flow. */
export const REDIRECTED: Verdict = verdict(
  'reject',
  'the DNS of the gateway answers (--dns-other redirect)',
);
const OBSERVED = verdict('allow', 'the DNS of the gateway would answer (--dns-other redirect)');
const REFUSED = verdict('reject', 'guests are to ask the DNS of the gateway (--dns-other refuse)');
const ENCRYPTED = verdict(
  'reject',
  'guests are to ask the DNS of the gateway: TLS and QUIC hide it',
);

/** Whether guests need no rule for it: what they ask there is answered. */
export const needsNoRule = (others: OtherResolvers, { protocol, port }: PolicyFlow): boolean =>
  others === 'redirect' && port === PLAIN_PORT && protocol !== 'icmp';

/**
 * @param by the rules' verdict on a flow to `port`, of TCP or UDP
 * @returns that, or what takes its place
 */
export function verdictOfResolver(
  engine: PolicyEngine,
  others: OtherResolvers,
  port: number,
  by: Verdict,
): Verdict {
  if ((port !== PLAIN_PORT && port !== ENCRYPTED_PORT) || others === 'allow') return by;
  if (!engine.isRestricting || engine.means(by, port)) return by;
  const isRedirected = port === PLAIN_PORT && others === 'redirect';
  if (isRedirected) return engine.mode === 'observe' ? OBSERVED : REDIRECTED;
  if (by.action !== 'allow') return by;
  return port === PLAIN_PORT ? REFUSED : ENCRYPTED;
}
