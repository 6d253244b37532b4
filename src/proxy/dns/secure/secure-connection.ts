/** A connection to a server that is asked over TLS alone, as {@link SecureUpstream} uses it. */
import type { Log } from '../../../base/log.ts';
import type { HostLookup } from '../../host-lookup.ts';
import type { AskEvents, Dial } from '../ask.ts';

export interface SecureDeps {
  /** In PEM; undefined: Node's. */
  readonly authorities?: string | undefined;
  readonly lookup: HostLookup;
  readonly log: Log;
  /** In place of a connection that is made directly. */
  readonly dial?: Dial | undefined;
}

/** One query that waits for its answer. */
export class Question {
  readonly query: Uint8Array;
  readonly events: AskEvents;
  /** Where it waits, and with which bytes. */
  connection: SecureConnection | undefined = undefined;
  sent: Uint8Array = new Uint8Array(0);
  askedAgain = false;
  cancelled = false;

  constructor(query: Uint8Array, events: AskEvents) {
    this.query = query;
    this.events = events;
  }
}

export interface SecureConnection {
  /** Whether it has ever brought an answer. */
  readonly answered: boolean;
  send(question: Question): void;
  forget(question: Question): void;
  /** Another is used from now on: it ends when nothing waits. */
  retire(): void;
  /** Nobody is told. */
  close(): void;
}

export interface ConnectionEvents {
  /** It brought an answer: the server is whom it claims to be. */
  onAnswer(): void;
  /** No new query is to be sent: answers are due and nothing comes, or the server wants it so. */
  onRetired(): void;
  /** It was silent, and answers: it may be used again. */
  onBack(): void;
  /** Once, never before the constructor returns. {@link onLost} follows for each query that waits. */
  onEnd(why: string): void;
  /**
   * The query may not have been seen by the server.
   *
   * @param isRefused the server says that it has done nothing with it
   */
  onLost(question: Question, why: string, isRefused?: boolean): void;
}
