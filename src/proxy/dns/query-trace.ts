/** What became of a query of a guest, for whoever logs it. */
import type { Instant } from '../../base/time.ts';
import type { AddressAnswers } from '../../services/dns/address-answers.ts';
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
  private read: { readonly message: Uint8Array; readonly answers: AddressAnswers } | undefined =
    undefined;

  constructor(startedAt: Instant) {
    this.startedAt = startedAt;
  }

  /** What is in `message`, for whoever wants to know as well. */
  keep(message: Uint8Array, answers: AddressAnswers): void {
    this.read = { message, answers };
  }

  /** @returns undefined where nobody has read that very message */
  answersIn(message: Uint8Array): AddressAnswers | undefined {
    return this.read?.message === message ? this.read.answers : undefined;
  }
}
