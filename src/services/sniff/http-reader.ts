/**
 * HTTP/1 as a client sends it: the head of every request of a connection, found behind the bodies in between.
 *
 * The first line decides whether it is HTTP at all: any with `HTTP/` in it is, and must then be sound; any other line of
 * text is of another protocol. The same holds for the line behind a request that may have changed the protocol (Upgrade,
 * CONNECT): a server that did not agree reads another request there.
 */
import { Gathered } from './gathered.ts';
import { HttpHead } from './http-head.ts';
import { readChunkSize, readRequestLine } from './http-line.ts';
import { latin1 } from './latin1.ts';
import { MAX_HELD, type OnClaim, type Reader, type Step } from './reader.ts';

/** Bytes of a body, without what frames them; they are borrowed for the call. */
export type OnBody = (bytes: Uint8Array, from: number, to: number) => void;

const CR = 0x0d;
const LF = 0x0a;
const SP = 0x20;
const HTAB = 0x09;
const FIRST_PRINTABLE = 0x21;
const DEL = 0x7f;
const TWO_EMPTY_LINES = 4;

type State =
  | 'request-line'
  | 'fields'
  | 'body'
  | 'chunk-size'
  | 'chunk-data'
  | 'chunk-end'
  | 'trailers';

/** How a first line of bytes looks. */
type FirstLine = 'http' | 'h2c' | 'proxy' | 'other';

export class HttpReader implements Reader {
  held = 0;
  at = 0;
  private readonly onClaim: OnClaim;
  private readonly onBody: OnBody | undefined;
  private readonly line = new Gathered(MAX_HELD);
  private state: State = 'request-line';
  /** Another protocol may begin here. */
  private isOpen = true;
  private seenSpace = false;
  private head: HttpHead | undefined = undefined;
  /** Bytes of a body, or of a chunk, that are to come. */
  private left = 0;

  constructor(onClaim: OnClaim, onBody?: OnBody) {
    this.onClaim = onClaim;
    this.onBody = onBody;
  }

  push(bytes: Uint8Array, from: number, to: number): Step {
    this.at = from;
    while (this.at < to) {
      const step = this.isInBody ? this.passBody(bytes, to) : this.readLine(bytes, to);
      if (step !== 'more') return step;
    }
    return 'more';
  }

  end(): Step {
    if (this.held === 0) return 'free';
    const isOther =
      this.state === 'request-line' && this.isOpen && firstLineOf(this.text) === 'other';
    return isOther ? 'free' : 'truncated';
  }

  private get isInBody(): boolean {
    return this.state === 'body' || this.state === 'chunk-data';
  }

  private get text(): string {
    return latin1(this.line.bytes);
  }

  private passBody(bytes: Uint8Array, to: number): Step {
    const n = Math.min(this.left, to - this.at);
    this.onBody?.(bytes, this.at, this.at + n);
    this.left -= n;
    this.at += n;
    if (this.left > 0) return 'more';
    if (this.state === 'body') return this.finishRequest();
    this.state = 'chunk-end';
    return 'more';
  }

  private readLine(bytes: Uint8Array, to: number): Step {
    const from = this.at;
    const found = bytes.indexOf(LF, from);
    const isWhole = found >= 0 && found < to;
    const end = isWhole ? found + 1 : to;
    if (this.isOpen && this.state === 'request-line' && !this.mayBeText(bytes, from, end)) {
      return this.isProxyHeader(bytes[from]) ? 'proxy-header' : 'free';
    }
    this.at = end;
    this.held += end - from;
    if (this.held > MAX_HELD) return 'http-too-long';
    if (isWhole && this.line.length === 0) return this.takeLine(latin1(bytes, from, end));
    if (!this.line.add(bytes, from, end)) return 'http-too-long';
    if (!isWhole) return 'more';
    const text = this.text;
    this.line.clear();
    return this.takeLine(text);
  }

  /** The PROXY protocol's binary header, of version 2: it begins with two empty lines and NUL, as nothing else does. */
  private isProxyHeader(byte: number | undefined): boolean {
    return this.held === TWO_EMPTY_LINES && this.line.length === 0 && byte === 0;
  }

  /** Whether the bytes may be of a request line, as the most tolerant of servers would read it. */
  private mayBeText(bytes: Uint8Array, from: number, to: number): boolean {
    for (let at = from; at < to; at++) {
      const byte = bytes[at] ?? 0;
      if (byte === 0) return false;
      if (byte === CR || byte === LF) continue;
      if (byte === SP || byte === HTAB) this.seenSpace = true;
      else if (!this.seenSpace && (byte < FIRST_PRINTABLE || byte >= DEL)) return false;
    }
    return true;
  }

  /** @param line with its end */
  private takeLine(line: string): Step {
    this.seenSpace = false;
    const isStart = this.state === 'request-line';
    if (isStart && this.isOpen) {
      if (/^[\r\n\t ]*$/.test(line)) return 'more'; // RFC 9112 §2.2: empty lines before a request
      const first = firstLineOf(line);
      if (first === 'other') return 'free';
      if (first === 'proxy') return 'proxy-header';
      if (first === 'h2c') return this.isPreface(line) ? 'h2c' : 'http-malformed';
    }
    if (!line.endsWith('\r\n')) return 'http-malformed';
    const text = line.slice(0, -2);
    switch (this.state) {
      case 'request-line':
        return text === '' ? 'more' : this.takeRequestLine(text);
      case 'fields':
        return this.takeField(text);
      case 'trailers':
        return this.takeTrailer(text);
      case 'chunk-size':
        return this.takeChunkSize(text);
      default:
        return this.takeChunkEnd(text);
    }
  }

  private isPreface(line: string): boolean {
    return line === 'PRI * HTTP/2.0\r\n' && this.held === line.length;
  }

  private takeRequestLine(text: string): Step {
    const request = readRequestLine(text);
    if (request === undefined) return 'http-malformed';
    this.isOpen = false;
    this.head = new HttpHead(request);
    this.state = 'fields';
    return 'more';
  }

  private takeField(text: string): Step {
    const { head } = this;
    if (text !== '') return head?.addField(text) === true ? 'more' : 'http-malformed';
    if (head?.isSound !== true) return 'http-malformed';
    if (!this.onClaim({ by: 'http', name: head.name, hello: undefined })) return 'refused';
    this.held = 0;
    const { body } = head;
    if (body === 'none') return this.finishRequest();
    this.state = body === 'chunked' ? 'chunk-size' : 'body';
    this.left = body === 'chunked' ? 0 : body;
    return 'more';
  }

  private takeChunkSize(text: string): Step {
    const size = readChunkSize(text);
    if (size === undefined) return 'http-malformed';
    this.held = 0;
    this.left = size;
    this.state = size === 0 ? 'trailers' : 'chunk-data';
    return 'more';
  }

  private takeChunkEnd(text: string): Step {
    if (text !== '') return 'http-malformed';
    this.held = 0;
    this.state = 'chunk-size';
    return 'more';
  }

  /** RFC 9112 §7.1.2. They are read for their end alone, but a field must be one. */
  private takeTrailer(text: string): Step {
    if (text !== '') {
      const isField = new HttpHead(NO_REQUEST).addField(text);
      return isField ? 'more' : 'http-malformed';
    }
    this.held = 0;
    return this.finishRequest();
  }

  private finishRequest(): Step {
    const mayChange = this.head?.mayChange === true;
    this.head = undefined;
    this.state = 'request-line';
    this.isOpen = mayChange;
    return mayChange ? 'again' : 'more';
  }
}

const NO_REQUEST = { method: 'GET', host: undefined, version: '1.1' } as const;

/** @param line with its end, if that is there */
function firstLineOf(line: string): FirstLine {
  const text = line.replace(/^[\r\n\t ]+/, '');
  if (/^PRI\s+\*\s+HTTP\/2/i.test(text)) return 'h2c';
  if (/HTTP\//i.test(text)) return 'http';
  if (/^PROXY\s/.test(text)) return 'proxy';
  const isSimple = /^(GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|TRACE)\s+(\/|https?:)/.test(text);
  return isSimple ? 'http' : 'other'; // HTTP/0.9 has no Host
}
