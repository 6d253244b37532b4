/** The head of one HTTP/1 request: what it says about its host, and where the next request begins. */
import { statedAuthority } from './host-name.ts';
import { type RequestLine, readContentLength, readFieldLine } from './http-line.ts';

/** - `none`: the next request follows the head. */
export type Body = 'none' | 'chunked' | number;

export class HttpHead {
  private readonly request: RequestLine;
  /** Of the Host field: '' when it is there and empty. */
  private host: string | undefined = undefined;
  private length: number | undefined = undefined;
  private isChunked = false;
  private isUpgrade = false;

  constructor(request: RequestLine) {
    this.request = request;
  }

  /** @returns false for a field that is malformed, or there twice where that has no one meaning */
  addField(line: string): boolean {
    const field = readFieldLine(line);
    if (field === undefined) return false;
    const { name, value } = field;
    switch (name) {
      case 'host':
        return this.setHost(value);
      case 'content-length': {
        const length = readContentLength(value);
        if (length === undefined || this.length !== undefined) return false;
        this.length = length;
        return true;
      }
      case 'transfer-encoding':
        if (this.isChunked || value.toLowerCase() !== 'chunked') return false;
        this.isChunked = true;
        return true;
      case 'upgrade':
        this.isUpgrade = true;
        return true;
      default:
        return true;
    }
  }

  /** RFC 9112 §3.2, §6.1, §6.3: whether the head as a whole has one meaning. */
  get isSound(): boolean {
    const { request, host, length, isChunked } = this;
    if (isChunked && (length !== undefined || request.version === '1.0')) return false;
    if (request.method === 'CONNECT' && this.body !== 'none') return false; // RFC 9110 §9.3.6
    if (host === undefined) return request.version === '1.0';
    return request.host === undefined || host === request.host;
  }

  /** What the request is for; undefined when it does not say. */
  get name(): string | undefined {
    const { request, host } = this;
    return request.host ?? (host === '' ? undefined : host);
  }

  get body(): Body {
    if (this.isChunked) return 'chunked';
    return this.length === undefined || this.length === 0 ? 'none' : this.length;
  }

  /** Another protocol may follow, where the server agrees. */
  get mayChange(): boolean {
    return this.isUpgrade || this.request.method === 'CONNECT';
  }

  private setHost(value: string): boolean {
    if (this.host !== undefined) return false;
    this.host = value === '' ? '' : statedAuthority(value)?.host;
    return this.host !== undefined;
  }
}
