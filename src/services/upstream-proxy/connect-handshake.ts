/** CONNECT of HTTP/1.1 (RFC 9110 §9.3.6): the request, and the head of the answer; what follows a 2xx is the flow's own. */
import { Gathered } from '../sniff/gathered.ts';
import { latin1 } from '../sniff/latin1.ts';
import {
  type Handshake,
  type HandshakeStep,
  type ProxyFailure,
  proxyFailure,
} from './handshake.ts';
import { authority, type ProxyCredentials, type ProxyTarget, utf8 } from './proxy-server.ts';

/** Of an answer's head, and of interim ones in front of it together. */
const MAX_HEAD = 16 * 1024;
const MAX_REASON = 80;
const LF = 0x0a;
const STATUS_LINE = /^HTTP\/1\.[01] ([1-9][0-9]{2})(?: ([^\r\n]*))?$/;

/** RFC 7617, in UTF-8. */
export const basicAuthorization = ({ user, password }: ProxyCredentials): string =>
  `Basic ${btoa(latin1(utf8(`${user}:${password}`)))}`;

export class ConnectHandshake implements Handshake {
  readonly hello: Uint8Array;
  private readonly head = new Gathered(MAX_HEAD);
  /** Where the line that is being read begins. */
  private lineAt = 0;
  private status = 0;
  private reason = '';

  constructor(target: ProxyTarget, credentials: ProxyCredentials | undefined) {
    const where = authority(target);
    const lines = [`CONNECT ${where} HTTP/1.1`, `Host: ${where}`];
    if (credentials !== undefined) {
      lines.push(`Proxy-Authorization: ${basicAuthorization(credentials)}`);
    }
    this.hello = utf8(`${lines.join('\r\n')}\r\n\r\n`);
  }

  push(bytes: Uint8Array, from: number, to: number): HandshakeStep {
    let at = from;
    while (at < to) {
      const found = bytes.indexOf(LF, at);
      const isWhole = found >= 0 && found < to;
      const end = isWhole ? found + 1 : to;
      if (!this.head.add(bytes, at, end)) {
        return proxyFailure('EPROTO', `the proxy's answer is longer than ${MAX_HEAD} bytes`);
      }
      at = end;
      const step = isWhole ? this.takeLine(at) : this.checkStart();
      if (step !== 'more') return step;
    }
    return 'more';
  }

  /** What cannot become a status line is not waited for. */
  private checkStart(): HandshakeStep {
    if (this.status !== 0) return 'more';
    const start = latin1(this.head.bytes, this.lineAt);
    const n = Math.min(start.length, 'HTTP/1.'.length);
    return start.slice(0, n) === 'HTTP/1.'.slice(0, n) ? 'more' : NOT_HTTP;
  }

  private takeLine(at: number): HandshakeStep {
    const line = latin1(this.head.bytes, this.lineAt).replace(/\r?\n$/, '');
    this.lineAt = this.head.length;
    if (this.status === 0) {
      const [, status, reason = ''] = STATUS_LINE.exec(line) ?? [];
      if (status === undefined) return NOT_HTTP;
      this.status = Number(status);
      this.reason = reason;
      return 'more';
    }
    if (line !== '') return 'more';
    const { status } = this;
    if (status >= 200) return status < 300 ? { at } : this.refusal();
    if (status === 101) return NOT_HTTP;
    this.status = 0; // RFC 9110 §15.2: the final answer follows
    return 'more';
  }

  private refusal(): ProxyFailure {
    const { status } = this;
    const reason = this.reason.replace(/[^\x20-\x7e]/g, '?').slice(0, MAX_REASON);
    return proxyFailure(
      codeOf(status),
      `the proxy answers ${`${status} ${reason}`.trim()}`,
      status,
    );
  }
}

const NOT_HTTP = proxyFailure('EPROTO', 'the proxy does not answer in HTTP');

function codeOf(status: number): string {
  switch (status) {
    case 504:
    case 408:
      return 'ETIMEDOUT';
    case 500:
    case 502:
    case 503:
      return 'EHOSTUNREACH';
    default:
      return 'EACCES';
  }
}
