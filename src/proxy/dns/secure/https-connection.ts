/**
 * One connection of DNS over HTTPS (RFC 8484), by HTTP/2 alone: each query is a POST with the id 0. At most
 * {@link MAX_STREAMS} are under way, fewer where the server wants it so; the others wait here for their turn, and the budget of
 * queries bounds them. An answer that is longer than a message of DNS ends its stream.
 */
import type {
  ClientHttp2Session,
  ClientHttp2Stream,
  IncomingHttpHeaders,
  IncomingHttpStatusHeader,
} from 'node:http2';
import { isIP } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { reportFault } from '../../../base/faults.ts';
import { errorCode } from '../../../native/errors.ts';
import { answers, dnsId } from '../../../services/dns/message.ts';
import type { DnsUpstream } from '../../../services/dns/resolv-conf.ts';
import { withId } from '../../../services/dns/surgery.ts';
import { type Cancel, MAX_MESSAGE_LEN } from '../ask.ts';
import { ConnectionTimer } from './connection-timer.ts';
import type {
  ConnectionEvents,
  Question,
  SecureConnection,
  SecureDeps,
} from './secure-connection.ts';
import { openTlsSocket } from './tls-socket.ts';

export const MAX_STREAMS = 64;
const HTTPS_PORT = 443;
const MEDIA_TYPE = 'application/dns-message';
/** RFC 9113 §7. */
const NGHTTP2_REFUSED_STREAM = 7;
const NGHTTP2_CANCEL = 8;

export class HttpsConnection implements SecureConnection {
  answered = false;
  private readonly server: DnsUpstream;
  private readonly events: ConnectionEvents;
  /** In the order in which they came; without a stream where they wait for their turn. */
  private readonly waiting = new Map<Question, ClientHttp2Stream | undefined>();
  private readonly cancel: Cancel;
  private readonly timer: ConnectionTimer;
  private streams = 0;
  private session: ClientHttp2Session | undefined = undefined;
  private ended = false;

  constructor(server: DnsUpstream, deps: SecureDeps, events: ConnectionEvents) {
    this.server = server;
    this.events = events;
    this.timer = new ConnectionTimer({
      onSilence: () => events.onRetired(),
      onEnd: (why) => this.end(why),
    });
    this.cancel = openTlsSocket(server, deps, 'h2', {
      onOpen: (socket) => this.onOpen(socket),
      onFailure: (why) => this.end(why),
    });
  }

  send(question: Question): void {
    question.sent = withId(question.query, 0); // RFC 8484 §4.1
    this.waiting.set(question, undefined);
    if (this.waiting.size === 1) this.timer.restart(1);
    this.request(question);
  }

  forget(question: Question): void {
    const stream = this.waiting.get(question);
    if (!this.waiting.delete(question)) return;
    stream?.close(NGHTTP2_CANCEL);
    if (this.waiting.size === 0) this.timer.restart(0);
  }

  retire(): void {
    this.timer.retire();
    if (this.waiting.size === 0) this.end('no longer used');
  }

  close(): void {
    this.ended = true;
    this.timer.stop();
    this.session?.destroy();
    this.cancel();
    this.waiting.clear();
  }

  private onOpen(socket: TLSSocket): void {
    // Loaded where it is used, as TLS is.
    const { connect } = process.getBuiltinModule('node:http2');
    const session = connect(`https://${authorityOf(this.server)}`, {
      createConnection: () => socket,
      settings: { enablePush: false },
    });
    this.session = session;
    session.unref();
    session.on('error', (error) => this.end(errorCode(error)));
    session.on('close', () => this.end('closed before the answer'));
    session.on('goaway', () => this.timer.retire());
    session.on('remoteSettings', () => this.requestMore());
    this.requestMore();
  }

  private requestMore(): void {
    for (const [question, stream] of this.waiting) {
      if (stream === undefined && !this.request(question)) return;
    }
  }

  /** @returns false when it has to wait for its turn */
  private request(question: Question): boolean {
    const { session } = this;
    const most = session?.remoteSettings.maxConcurrentStreams ?? MAX_STREAMS;
    if (session === undefined || this.streams >= Math.min(most, MAX_STREAMS)) return false;
    let stream: ClientHttp2Stream;
    try {
      stream = session.request({
        ':method': 'POST',
        ':path': this.server.httpsPath ?? '/',
        'content-type': MEDIA_TYPE,
        accept: MEDIA_TYPE,
        'content-length': question.sent.length,
      });
    } catch (error) {
      // The session is about to end, which is reported.
      this.timer.retire();
      this.settle(question);
      this.events.onLost(question, error instanceof Error ? errorCode(error) : 'EUNKNOWN');
      return false;
    }
    this.waiting.set(question, stream);
    this.streams++;
    this.read(question, stream);
    stream.end(question.sent);
    return true;
  }

  private read(question: Question, stream: ClientHttp2Stream): void {
    const chunks: Buffer[] = [];
    let lenBytes = 0;
    let problem: string | undefined;
    let failure: string | undefined;
    const refuse = (why: string): void => {
      problem = why;
      stream.close(NGHTTP2_CANCEL);
    };
    stream.on('response', (headers) => {
      const why = headersProblem(headers);
      if (why !== undefined) refuse(why);
    });
    stream.on('data', (bytes: Buffer) => {
      lenBytes += bytes.length;
      if (lenBytes > MAX_MESSAGE_LEN) refuse('the answer is too long');
      else if (problem === undefined) chunks.push(bytes);
    });
    stream.on('error', (error) => {
      failure = errorCode(error);
    });
    stream.once('close', () => {
      this.streams--;
      if (this.ended) return;
      try {
        if (!this.waiting.has(question)) return;
        const bytes = new Uint8Array(Buffer.concat(chunks));
        const isAnswer = problem === undefined && answers(question.sent, bytes);
        if (isAnswer) {
          this.onMessage(question, bytes);
          return;
        }
        this.settle(question);
        if (problem === undefined && failure !== undefined) {
          this.events.onLost(question, failure, stream.rstCode === NGHTTP2_REFUSED_STREAM);
        } else question.events.onFailure(problem ?? 'no answer to the query');
      } catch (fault) {
        reportFault('dns', fault);
      } finally {
        this.requestMore();
      }
    });
  }

  private onMessage(question: Question, bytes: Uint8Array): void {
    this.answered = true;
    this.waiting.delete(question);
    const isBack = this.timer.onAnswer(this.waiting.size);
    this.events.onAnswer();
    if (isBack) this.events.onBack();
    question.events.onReply(withId(bytes, dnsId(question.query)));
  }

  /** It waits no longer, and has no answer. */
  private settle(question: Question): void {
    this.waiting.delete(question);
    this.timer.restart(this.waiting.size);
  }

  private end(why: string): void {
    if (this.ended) return;
    const waiting = [...this.waiting.keys()];
    this.close();
    this.events.onEnd(why);
    for (const question of waiting) this.events.onLost(question, why);
  }
}

/** @returns why this is no answer, or undefined */
function headersProblem(
  headers: IncomingHttpHeaders & IncomingHttpStatusHeader,
): string | undefined {
  const { ':status': status, 'content-type': type = '' } = headers;
  if (status !== 200) return `HTTP ${status}`;
  return type.split(';')[0]?.trim().toLowerCase() === MEDIA_TYPE ? undefined : 'no DNS message';
}

function authorityOf({ address, port, tlsName = address }: DnsUpstream): string {
  const host = isIP(tlsName) === 6 ? `[${tlsName}]` : tlsName;
  return port === HTTPS_PORT ? host : `${host}:${port}`;
}
