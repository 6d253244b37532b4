/**
 * A server that is asked over TLS (RFC 7858): queries share one connection, pipelined, with ids of their own, answers
 * in any order. It is opened by the first query and closed after {@link IDLE_MS} without one. The certificate has
 * to be valid for the server's name; otherwise queries fail, as they do where nobody listens: nothing is ever asked
 * in the clear.
 *
 * A connection that had answered before and ends is taken for one that the server had closed while idle: what waits is asked
 * once more on a new one (RFC 7766 §6.2.4). One that owes answers and is silent for {@link SILENCE_MS} is no longer used for
 * new queries: the peer may be gone without a word. So each connection beyond the last has a query that waits, and the budget
 * of those bounds them.
 */
import { randomInt } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { reportFault } from '../../base/faults.ts';
import { errorCode } from '../../native/errors.ts';
import { answers, dnsId } from '../../services/dns/message.ts';
import type { DnsUpstream } from '../../services/dns/resolv-conf.ts';
import { withId } from '../../services/dns/surgery.ts';
import { DnsTcpReader, frameDnsMessage } from '../../services/dns/tcp-framing.ts';
import type { AskEvents, Cancel } from './ask.ts';

const IDLE_MS = 10_000;
const SILENCE_MS = 1000;
const MAX_MESSAGE_LEN = 65_535;

class Question {
  readonly query: Uint8Array;
  readonly events: AskEvents;
  /** Where it waits, and with which bytes. */
  connection: TlsConnection | undefined = undefined;
  sent: Uint8Array = new Uint8Array(0);
  askedAgain = false;
  cancelled = false;

  constructor(query: Uint8Array, events: AskEvents) {
    this.query = query;
    this.events = events;
  }
}

export class TlsUpstream {
  private readonly server: DnsUpstream;
  private readonly name: string;
  private readonly authorities: string | undefined;
  private readonly connections = new Set<TlsConnection>();
  /** For the next query. */
  private current: TlsConnection | undefined = undefined;

  /** @param authorities in PEM; undefined: Node's */
  constructor(server: DnsUpstream, name: string, authorities: string | undefined) {
    this.server = server;
    this.name = name;
    this.authorities = authorities;
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
    this.current.send(question);
  }

  private connect(): TlsConnection {
    const connection = new TlsConnection(this.server, this.name, this.authorities, {
      onSilence: () => this.retire(connection),
      onEnd: (waiting, why) => {
        this.retire(connection);
        this.connections.delete(connection);
        for (const question of waiting) this.onLost(question, connection.answered, why);
      },
    });
    this.connections.add(connection);
    return connection;
  }

  private retire(connection: TlsConnection): void {
    if (this.current === connection) this.current = undefined;
  }

  private onLost(question: Question, answered: boolean, why: string): void {
    if (question.cancelled) return; // by the failure of one before it
    if (answered && !question.askedAgain) {
      question.askedAgain = true;
      this.send(question);
    } else question.events.onFailure(why);
  }
}

interface ConnectionEvents {
  onSilence(): void;
  /** Once, never before the constructor returns. */
  onEnd(waiting: readonly Question[], why: string): void;
}

class TlsConnection {
  /** Whether it has ever brought an answer. */
  answered = false;
  private readonly events: ConnectionEvents;
  private readonly waiting = new Map<number, Question>();
  /** Undefined until the certificate has been found valid. */
  private socket: TLSSocket | undefined = undefined;
  private opening: TLSSocket | undefined = undefined;
  private ended = false;
  /** Counts silence while an answer is due, else idleness. */
  private timer: NodeJS.Timeout | undefined = undefined;
  private silent = false;

  constructor(
    server: DnsUpstream,
    name: string,
    authorities: string | undefined,
    events: ConnectionEvents,
  ) {
    this.events = events;
    // Loaded where it is used: most daemons never ask over TLS.
    import('node:tls').then(
      ({ connect }) => {
        if (this.ended) return;
        const { address, port } = server;
        const servername = name === address.toLowerCase() ? {} : { servername: name };
        const ca = authorities === undefined ? {} : { ca: authorities };
        const minVersion = 'TLSv1.2';
        this.onSocket(connect({ host: address, port, minVersion, ...servername, ...ca }));
      },
      (error) => this.end(errorCode(error)),
    );
  }

  send(question: Question): void {
    let id = randomInt(0x1_0000);
    while (this.waiting.has(id)) id = (id + 1) & 0xffff;
    question.connection = this;
    question.sent = withId(question.query, id);
    this.waiting.set(id, question);
    if (this.waiting.size === 1) this.restartTimer();
    this.socket?.write(frameDnsMessage(question.sent));
  }

  forget(question: Question): void {
    if (!this.waiting.delete(dnsId(question.sent)) || this.waiting.size > 0) return;
    this.restartTimer();
  }

  close(): void {
    this.ended = true;
    clearTimeout(this.timer);
    this.opening?.destroy();
    this.waiting.clear();
  }

  private onSocket(socket: TLSSocket): void {
    this.opening = socket;
    socket.unref();
    socket.setNoDelay();
    const reader = new DnsTcpReader(MAX_MESSAGE_LEN, (bytes) => this.onMessage(bytes));
    socket.on('error', (error) => this.end(errorCode(error)));
    socket.on('end', () => this.end('closed before the answer'));
    socket.on('close', () => this.end('closed before the answer'));
    socket.on('data', (bytes) => {
      try {
        const problem = reader.push(bytes);
        if (problem !== undefined) this.end(problem);
      } catch (fault) {
        reportFault('dns', fault);
        this.end('fault');
      }
    });
    socket.on('secureConnect', () => {
      this.socket = socket;
      for (const { sent } of this.waiting.values()) socket.write(frameDnsMessage(sent));
    });
  }

  private onMessage(bytes: Uint8Array): void {
    const id = dnsId(bytes);
    const question = this.waiting.get(id);
    if (question === undefined || !answers(question.sent, bytes)) return;
    this.answered = true;
    this.waiting.delete(id);
    this.restartTimer();
    question.events.onReply(withId(bytes, dnsId(question.query)));
  }

  private restartTimer(): void {
    clearTimeout(this.timer);
    if (this.silent && this.waiting.size === 0) this.end('no answer');
    if (this.ended || this.silent) return;
    this.timer =
      this.waiting.size > 0
        ? setTimeout(() => {
            this.silent = true;
            this.events.onSilence();
          }, SILENCE_MS)
        : setTimeout(() => this.end('idle'), IDLE_MS);
    this.timer.unref();
  }

  private end(why: string): void {
    if (this.ended) return;
    const waiting = [...this.waiting.values()];
    this.close();
    this.events.onEnd(waiting, why);
  }
}
