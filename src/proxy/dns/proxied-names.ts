/** Names that only an upstream proxy resolves. */
import type { Instant } from '../../base/time.ts';
import type { DnsQuery } from '../../services/dns/message.ts';
import type { Guest } from '../../stack/guest.ts';
import type { Dial } from './ask.ts';

export interface ProxiedNames {
  /** @returns undefined: it is not answered here */
  answer(owner: Guest, query: DnsQuery, now: Instant): Uint8Array | undefined;
  /** Whether servers are asked through the proxy for it. */
  asks(owner: Guest, query: DnsQuery): boolean;
  /** The same function each time. */
  readonly dial: Dial;
}
