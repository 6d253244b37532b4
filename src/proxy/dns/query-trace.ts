/** What became of a query of a guest, for whoever logs it. */
import type { Instant } from '../../base/time.ts';
import type { DnsUpstream } from '../../services/dns/resolv-conf.ts';

/** Of the answer: our own names, the program's hook, the cache, a server. */
export type AnswerSource = 'local' | 'hook' | 'cache' | 'upstream';

export class QueryTrace {
  readonly startedAt: Instant;
  /** By the policy. */
  isDenied = false;
  /** Undefined: it is denied, or nobody answered. */
  source: AnswerSource | undefined = undefined;
  /** The server that answered. */
  upstream: DnsUpstream | undefined = undefined;

  constructor(startedAt: Instant) {
    this.startedAt = startedAt;
  }
}
