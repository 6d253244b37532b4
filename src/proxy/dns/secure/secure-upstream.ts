/**
 * A server that is asked over TLS alone, by DNS over TLS (RFC 7858) or over HTTPS (RFC 8484): queries share one
 * connection, which is opened by the first of them. The certificate has to be valid for the server's name; otherwise queries
 * fail, as they do where nobody listens: nothing is ever asked in the clear.
 *
 * A connection that had answered before and ends is taken for one that the server had closed while idle: what waits is asked
 * once more on a new one (RFC 7766 §6.2.4), as is what a server of HTTP/2 has refused unseen (RFC 9113 §8.7). One that owes answers and is silent is no longer used for new queries: the peer
 * may be gone without a word. Where it was slow and answers, it is used again, unless another has answered meanwhile. So each
 * connection beyond the last has a query that waits, and the budget of those bounds them.
 */
import type { DnsUpstream } from '../../../services/dns/resolv-conf.ts';
import { upstreamText } from '../../../services/dns/upstream-text.ts';
import type { AskEvents, Cancel } from '../ask.ts';
import { certificateProblem } from './certificate-problem.ts';
import { HttpsConnection } from './https-connection.ts';
import {
  type ConnectionEvents,
  Question,
  type SecureConnection,
  type SecureDeps,
} from './secure-connection.ts';
import { TlsConnection } from './tls-connection.ts';

export class SecureUpstream {
  private readonly server: DnsUpstream;
  private readonly deps: SecureDeps;
  private readonly connections = new Set<SecureConnection>();
  /** For the next query. */
  private current: SecureConnection | undefined = undefined;
  /** What is wrong with the certificate, as it was logged. */
  private problem: string | undefined = undefined;

  constructor(server: DnsUpstream, deps: SecureDeps) {
    this.server = server;
    this.deps = deps;
  }

  ask(query: Uint8Array, events: AskEvents): Cancel {
    const question = new Question(query, events);
    this.send(question);
    return () => {
      question.cancelled = true;
      question.connection?.forget(question);
    };
  }

  /** Those who wait are not told. */
  close(): void {
    for (const connection of this.connections) connection.close();
    this.connections.clear();
    this.current = undefined;
  }

  private send(question: Question): void {
    this.current ??= this.connect();
    question.connection = this.current;
    this.current.send(question);
  }

  private connect(): SecureConnection {
    const { server, deps } = this;
    const events: ConnectionEvents = {
      onAnswer: () => {
        this.problem = undefined;
      },
      onRetired: () => this.retire(connection),
      onBack: () => this.onBack(connection),
      onEnd: (why) => {
        this.retire(connection);
        this.connections.delete(connection);
        this.report(why);
      },
      onLost: (question, why, isRefused = false) =>
        this.onLost(question, connection.answered || isRefused, why),
    };
    const Connection = server.httpsPath === undefined ? TlsConnection : HttpsConnection;
    const connection: SecureConnection = new Connection(server, deps, events);
    this.connections.add(connection);
    return connection;
  }

  private retire(connection: SecureConnection): void {
    if (this.current === connection) this.current = undefined;
  }

  private onBack(connection: SecureConnection): void {
    const { current } = this;
    if (current?.answered === true) connection.retire();
    else {
      this.current = connection;
      current?.retire();
    }
  }

  private onLost(question: Question, mayAskAgain: boolean, why: string): void {
    if (question.cancelled) return; // by the failure of one before it
    if (mayAskAgain && !question.askedAgain) {
      question.askedAgain = true;
      this.send(question);
    } else question.events.onFailure(why);
  }

  /** Once, until the server answers again or something else is wrong. */
  private report(why: string): void {
    const { server, deps } = this;
    const fields = { upstream: upstreamText(server), why };
    const problem = certificateProblem(why, server.tlsName ?? server.address);
    if (problem === undefined || problem === this.problem) {
      deps.log.debug(fields, 'connection to a name server ended');
      return;
    }
    this.problem = problem;
    deps.log.warn(fields, `the name server is not asked: ${problem}`);
  }
}
