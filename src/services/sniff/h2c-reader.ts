/**
 * HTTP/2 in the clear as a client sends it, behind the first line of its preface (RFC 9113 §3.4): the authority of every
 * request. Frames other than those of header blocks pass as they come.
 */
import { ByteCursor } from './byte-cursor.ts';
import { Gathered } from './gathered.ts';
import { statedAuthority } from './host-name.ts';
import { HpackDecoder } from './hpack.ts';
import { MAX_HELD, type OnClaim, type Reader, type Step } from './reader.ts';

const REST_OF_PREFACE = '\r\nSM\r\n\r\n';
const HEADER_LEN = 9;
const HEADERS = 1;
const PUSH_PROMISE = 5;
const CONTINUATION = 9;
const END_HEADERS = 0x04;
const PADDED = 0x08;
const PRIORITY = 0x20;

/** What the fields of a block say. */
class Fields {
  authority: string | undefined = undefined;
  host: string | undefined = undefined;
  hasPseudo = false;
  isSound = true;

  readonly add = (name: string, value: string): void => {
    if (name.startsWith(':')) this.hasPseudo = true;
    if (name === ':authority') this.authority = this.stated(this.authority, value);
    else if (name === 'host') this.host = this.stated(this.host, value);
  };

  /** RFC 9113 §8.3.1: the two must not differ. */
  get isOne(): boolean {
    const { authority, host } = this;
    return authority === undefined || host === undefined || authority === host;
  }

  private stated(before: string | undefined, value: string): string {
    const host = value === '' ? '' : statedAuthority(value)?.host;
    if (before !== undefined || host === undefined) this.isSound = false;
    return host ?? '';
  }
}

export class H2cReader implements Reader {
  held: number;
  at = 0;
  private readonly onClaim: OnClaim;
  private readonly hpack = new HpackDecoder();
  private prefaceLen = 0;
  private readonly header = new Gathered(HEADER_LEN);
  /** Of the frame that is read. */
  private type = 0;
  private flags = 0;
  private left = 0;
  /** Of the block that is gathered: 0 when none is. */
  private stream = 0;
  private lastStream = 0;
  private readonly frame = new Gathered(MAX_HELD);
  private readonly block = new Gathered(MAX_HELD);

  /** @param held bytes of the preface's first line */
  constructor(onClaim: OnClaim, held: number) {
    this.onClaim = onClaim;
    this.held = held;
  }

  push(bytes: Uint8Array, from: number, to: number): Step {
    this.at = from;
    while (this.at < to) {
      const step = this.read(bytes, to);
      if (step !== 'more') return step;
      if (this.held > MAX_HELD) return 'h2c-too-long';
    }
    return 'more';
  }

  end(): Step {
    return this.held > 0 ? 'truncated' : 'free';
  }

  private get isBlock(): boolean {
    return this.type === HEADERS || this.type === CONTINUATION;
  }

  private read(bytes: Uint8Array, to: number): Step {
    if (this.prefaceLen < REST_OF_PREFACE.length) return this.readPreface(bytes[this.at] ?? 0);
    if (this.left === 0) return this.readHeader(bytes);
    const n = Math.min(this.left, to - this.at);
    const from = this.at;
    this.at += n;
    this.left -= n;
    if (!this.isBlock) return 'more';
    this.held += n;
    if (!this.frame.add(bytes, from, from + n)) return 'h2c-too-long';
    return this.left === 0 ? this.finishFrame() : 'more';
  }

  private readPreface(byte: number): Step {
    if (byte !== REST_OF_PREFACE.charCodeAt(this.prefaceLen)) return 'h2c-malformed';
    this.prefaceLen++;
    this.at++;
    this.held++;
    if (this.prefaceLen === REST_OF_PREFACE.length) this.held = 0;
    return 'more';
  }

  private readHeader(bytes: Uint8Array): Step {
    this.header.add(bytes, this.at, this.at + 1);
    this.at++;
    this.held++;
    if (this.header.length < HEADER_LEN) return 'more';
    const header = new ByteCursor(this.header.bytes);
    this.left = header.u24();
    this.type = header.u8();
    this.flags = header.u8();
    const stream = ((header.u16() & 0x7fff) << 16) | header.u16();
    this.header.clear();
    return this.beginFrame(stream);
  }

  /** RFC 9113 §4.3, §6.2, §6.10: nothing comes between the frames of a block. */
  private beginFrame(stream: number): Step {
    const isFirst = this.type === HEADERS;
    if (this.stream === 0 ? this.type === CONTINUATION : isFirst || !this.isBlock) {
      return 'h2c-malformed';
    }
    if (this.type === PUSH_PROMISE) return 'h2c-malformed';
    if (!this.isBlock) {
      this.held = 0;
      return 'more';
    }
    if (stream % 2 === 0 || (!isFirst && stream !== this.stream)) return 'h2c-malformed';
    this.stream = stream;
    return this.left === 0 ? this.finishFrame() : 'more';
  }

  private finishFrame(): Step {
    const payload = this.payload();
    if (payload === undefined) return 'h2c-malformed';
    const isWhole = this.block.add(payload, 0, payload.length);
    this.frame.clear();
    if (!isWhole) return 'h2c-too-long';
    return (this.flags & END_HEADERS) === 0 ? 'more' : this.finishBlock();
  }

  /** Of HEADERS, without padding and priority. */
  private payload(): Uint8Array | undefined {
    const { bytes } = this.frame;
    if (this.type === CONTINUATION) return bytes;
    const cursor = new ByteCursor(bytes);
    const padding = (this.flags & PADDED) === 0 ? 0 : cursor.u8();
    if ((this.flags & PRIORITY) !== 0) cursor.skip(5);
    const fragment = cursor.take(cursor.left - padding);
    return cursor.isSound && fragment.isSound ? fragment.rest() : undefined;
  }

  private finishBlock(): Step {
    const fields = new Fields();
    const isDecoded = this.hpack.decode(new ByteCursor(this.block.bytes), fields.add);
    this.block.clear();
    const isRequest = this.stream > this.lastStream;
    this.lastStream = Math.max(this.lastStream, this.stream);
    this.stream = 0;
    if (!isDecoded || !fields.isSound || !fields.isOne) return 'h2c-malformed';
    if (!isRequest && fields.hasPseudo) return 'h2c-malformed'; // §8.1: trailers have none
    const name = fields.authority ?? fields.host;
    const claim = { by: 'h2c', name: name === '' ? undefined : name, hello: undefined } as const;
    if (isRequest && !this.onClaim(claim)) return 'refused';
    this.held = 0;
    return 'more';
  }
}
