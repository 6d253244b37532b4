/**
 * What a client says on a stream about where it wants to go, read from the bytes that it sends: the server name of TLS,
 * the host of every HTTP request. Each claim is decided by the owner before the bytes that make it may go on.
 *
 * The first bytes decide which protocol it is; what is none of those (SSH, a database's) is `free`. A stream that is,
 * costs its owner nothing from then on. Bytes are borrowed for the call: the owner keeps those that are held.
 */
import { Gathered } from './gathered.ts';
import { H2cReader } from './h2c-reader.ts';
import { HttpReader } from './http-reader.ts';
import type { Claim, OnClaim, Reader, Step, Unreadable } from './reader.ts';
import { isTlsRecord, TlsReader } from './tls-reader.ts';

/**
 * - `more`: all but the last {@link StreamInspector.held} bytes may go on.
 * - `free`: so may everything, from now on.
 * - others: nothing may that was not yet allowed to, for good. `refused`: the claim was.
 */
export type Inspection = 'more' | 'free' | 'refused' | Unreadable;

/** Bytes that tell a record of TLS, or SSL 2's hello in which a server may be asked for TLS, from other protocols. */
const PREFIX_MAX = 5;

type Protocol = 'tls' | 'ssl2' | 'other' | undefined;

export class StreamInspector {
  private readonly onClaim: OnClaim;
  /** The first bytes, while they do not show the protocol. */
  private readonly prefix = new Gathered(PREFIX_MAX);
  private reader: Reader | undefined = undefined;
  private http: HttpReader | undefined = undefined;
  private result: Inspection = 'more';
  private isAllowed = false;

  /** @param onClaim called from within `push`, for each claim */
  constructor(onClaim: OnClaim) {
    this.onClaim = (claim: Claim): boolean => {
      const allowed = onClaim(claim);
      this.isAllowed ||= allowed;
      return allowed;
    };
  }

  /** Bytes read last that may not go on yet. */
  get held(): number {
    return this.prefix.length + (this.reader?.held ?? 0);
  }

  /** Whether the first request of HTTP/1 is read, or was refused: its client waits for an answer. */
  get isFirstRequest(): boolean {
    return this.http !== undefined && !this.isAllowed;
  }

  push(bytes: Uint8Array, from: number, to: number): Inspection {
    let at = from;
    while (at < to && this.result === 'more') {
      const { reader } = this;
      if (reader === undefined) {
        at = this.recognize(bytes, at);
        continue;
      }
      const step = reader.push(bytes, at, to);
      at = this.take(step, reader.at);
    }
    return this.result;
  }

  /** The client has ended: nothing more is pushed. */
  end(): Inspection {
    if (this.result !== 'more') return this.result;
    const step = this.reader?.end() ?? 'free';
    this.result = step === 'again' || step === 'h2c' ? 'free' : step;
    return this.result;
  }

  /** @returns where reading goes on */
  private take(step: Step, at: number): number {
    if (step === 'again') this.reader = undefined;
    else if (step === 'h2c') this.reader = new H2cReader(this.onClaim, this.held);
    else this.result = step;
    return at;
  }

  private recognize(bytes: Uint8Array, at: number): number {
    this.prefix.add(bytes, at, at + 1);
    const protocol = protocolOf(this.prefix.bytes, this.http === undefined);
    if (protocol === undefined) return at + 1;
    const prefix = new Uint8Array(this.prefix.bytes);
    this.prefix.clear();
    if (protocol === 'ssl2') {
      // It has no extensions: SSL 2's form of a ClientHello (RFC 5246 appendix E.2)
      this.result = this.onClaim({ by: 'tls', name: undefined, hello: undefined })
        ? 'free'
        : 'refused';
      return at + 1;
    }
    if (protocol === 'other') this.http ??= new HttpReader(this.onClaim);
    const reader = protocol === 'tls' ? new TlsReader(this.onClaim) : this.http;
    this.reader = reader;
    if (reader !== undefined) this.take(reader.push(prefix, 0, prefix.length), 0);
    return at + 1;
  }
}

/**
 * @param prefix 1 to {@link PREFIX_MAX} bytes
 * @param isStart of the stream: frames of WebSocket, behind an upgrade, may look like SSL 2
 * @returns undefined when more are needed
 */
function protocolOf(prefix: Uint8Array, isStart: boolean): Protocol {
  const [first = 0, second, third, fourth, fifth] = prefix;
  if (isTlsRecord(first)) {
    if (second === undefined) return undefined;
    return second === 3 ? 'tls' : 'other';
  }
  if (first < 0x80 || !isStart) return 'other';
  if (third === undefined) return undefined;
  if (third !== 1) return 'other';
  if (fourth === undefined) return undefined;
  if (fourth === 3) return 'ssl2';
  if (fourth !== 0) return 'other';
  if (fifth === undefined) return undefined;
  return fifth === 2 ? 'ssl2' : 'other';
}
