/**
 * The resolver obeys the policy: what a guest may not ask for never leaves hawser. A denied name does not exist, for a few
 * seconds, so that an approval is felt at once; a name above one that is allowed exists and has no data, so that what is
 * below it is still asked for (RFC 8020).
 */
import type { Instant } from '../../base/time.ts';
import {
  type DnsQuery,
  NOERROR,
  NXDOMAIN,
  TYPE_A,
  TYPE_AAAA,
  TYPE_CNAME,
  TYPE_MX,
  TYPE_PTR,
  TYPE_SRV,
} from '../../services/dns/message.ts';
import { EDE_BLOCKED, localReply } from '../../services/dns/reply.ts';
import { soa } from '../../services/dns/soa.ts';
import { statedName } from '../../services/sniff/host-name.ts';
import type { Guest } from '../../stack/guest.ts';
import type { GuestPolicy } from './guest-policy.ts';

const TTL_S = 5;
const TYPE_TXT = 16;
/** Of allowed names. Not HTTPS and SVCB: their hints are addresses that nobody looked up, and `ech` hides names. */
const TYPES: ReadonlySet<number> = new Set([
  ...[TYPE_A, TYPE_AAAA, TYPE_CNAME, TYPE_MX, TYPE_SRV, TYPE_TXT],
]);

/** Called for each name that a guest may not ask for. */
export type OnNameDenied = (owner: Guest, name: string, why: string) => void;

const WHY = 'the policy does not allow this name';

export class DnsPolicy {
  private readonly policy: GuestPolicy;
  private readonly ourselves: Guest;
  private readonly onDenied: OnNameDenied;

  /** @param ourselves who asks for hawser's own needs, which are no guest's */
  constructor(policy: GuestPolicy, ourselves: Guest, onDenied: OnNameDenied = () => {}) {
    this.policy = policy;
    this.ourselves = ourselves;
    this.onDenied = onDenied;
  }

  /** Whether a query whose name cannot be read is refused. */
  get refusesUnreadable(): boolean {
    const { engine } = this.policy;
    return engine !== undefined && engine.mode === 'enforce' && engine.byDefault.action === 'deny';
  }

  /** @returns the answer to a query that may not be asked; undefined: it may */
  refusal(owner: Guest, query: DnsQuery, now: Instant): Uint8Array | undefined {
    const refusal = this.refusalOf(owner, query, now);
    if (refusal !== undefined) this.onDenied(owner, query.name, WHY);
    return refusal;
  }

  private refusalOf(owner: Guest, query: DnsQuery, now: Instant): Uint8Array | undefined {
    const { policy } = this;
    if (policy.engine === undefined || owner === this.ourselves) return undefined;
    const name = statedName(query.name);
    const isStrict = this.refusesUnreadable;
    if (isStrict && (name === undefined || query.type === TYPE_PTR))
      return nothing(query, NXDOMAIN);
    const verdict = policy.judgeName(owner, name ?? query.name, now);
    if (verdict === 'deny') return nothing(query, NXDOMAIN);
    if (verdict === 'below' || (isStrict && !TYPES.has(query.type))) return nothing(query, NOERROR);
    return undefined;
  }
}

function nothing(query: DnsQuery, rcode: number): Uint8Array {
  const zone = statedName(query.name) ?? '.';
  const error = { code: EDE_BLOCKED, text: WHY };
  return localReply(query, rcode, { answers: [], authorities: [soa(zone, TTL_S)], error });
}
