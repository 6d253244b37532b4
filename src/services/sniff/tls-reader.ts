/**
 * TLS from its first record on: gathers the ClientHello from records of any size, and looks out for a second one.
 *
 * A server that answers with HelloRetryRequest is sent a second ClientHello in the clear (RFC 8446 §4.1.2), which a client
 * that bypasses a policy gives another server name. It comes at once, behind a ChangeCipherSpec, or behind early data
 * that the server skips, so records are followed, by their headers, until one shows that none can come any more.
 */
import { readClientHello } from './client-hello.ts';
import { Gathered } from './gathered.ts';
import { MAX_HELD, type OnClaim, type Reader, type Step } from './reader.ts';

const HEADER_LEN = 5;
const CHANGE_CIPHER_SPEC = 20;
const ALERT = 21;
const HANDSHAKE = 22;
const APPLICATION_DATA = 23;
const CLIENT_HELLO = 1;
const MESSAGE_HEADER_LEN = 4;
/** RFC 5246 §6.2.3: of a record, with everything that ciphers add. */
const MAX_RECORD = 16_384 + 2048;
const MAJOR_VERSION = 3;

/** Whether a stream may begin with a record of TLS: of any type, as a server may skip one that is out of place. */
export const isTlsRecord = (type: number): boolean => type >= 20 && type <= 24;

export class TlsReader implements Reader {
  held = 0;
  at = 0;
  private readonly onClaim: OnClaim;
  private readonly header = new Uint8Array(HEADER_LEN);
  private headerLen = 0;
  /** Bytes of the record that are to come. */
  private left = 0;
  private type = 0;
  private isSecond = false;
  private hasEarlyData = false;
  /** Of the ClientHello, with its header. */
  private readonly message = new Gathered(MAX_HELD);
  private state: 'hello' | 'after' = 'hello';

  constructor(onClaim: OnClaim) {
    this.onClaim = onClaim;
  }

  push(bytes: Uint8Array, from: number, to: number): Step {
    this.at = from;
    while (this.at < to) {
      const step = this.left === 0 ? this.readHeader(bytes) : this.readRecord(bytes, to);
      if (step !== 'more') return step;
      if (this.held > MAX_HELD) return 'tls-too-long';
    }
    return 'more';
  }

  end(): Step {
    return this.held > 0 ? 'truncated' : 'free';
  }

  private readHeader(bytes: Uint8Array): Step {
    this.header[this.headerLen] = bytes[this.at] ?? 0;
    this.headerLen++;
    this.at++;
    this.held++;
    if (this.headerLen < HEADER_LEN) return 'more';
    this.headerLen = 0;
    const [type = 0, major, , high = 0, low = 0] = this.header;
    this.type = type;
    this.left = (high << 8) | low;
    if (major !== MAJOR_VERSION || this.left === 0 || this.left > MAX_RECORD)
      return 'tls-malformed';
    return this.state === 'hello' ? this.beginHello() : this.beginRecord();
  }

  private beginHello(): Step {
    return this.type === HANDSHAKE ? 'more' : 'tls-malformed';
  }

  /** Behind the first ClientHello. */
  private beginRecord(): Step {
    const { type } = this;
    if (type === HANDSHAKE) return 'more';
    if (type === APPLICATION_DATA && !this.hasEarlyData) return 'free';
    const isSkipped = type === CHANGE_CIPHER_SPEC || type === ALERT || type === APPLICATION_DATA;
    if (!isSkipped) return 'tls-malformed';
    this.held = 0;
    return 'more';
  }

  private readRecord(bytes: Uint8Array, to: number): Step {
    const n = Math.min(this.left, to - this.at);
    const from = this.at;
    if (this.state === 'after') {
      if (this.type !== HANDSHAKE) {
        this.at += n;
        this.left -= n;
        return 'more';
      }
      if (bytes[from] !== CLIENT_HELLO) return 'free'; // of TLS 1.2 or older: the server has chosen
      this.state = 'hello';
      this.isSecond = true;
    }
    this.at += n;
    this.left -= n;
    this.held += n;
    if (!this.message.add(bytes, from, from + n)) return 'tls-too-long';
    return this.readMessage();
  }

  private readMessage(): Step {
    const { bytes, length } = this.message;
    if (bytes[0] !== CLIENT_HELLO) return 'tls-malformed';
    if (length < MESSAGE_HEADER_LEN) return 'more';
    const [, high = 0, middle = 0, low = 0] = bytes;
    const end = MESSAGE_HEADER_LEN + ((high << 16) | (middle << 8) | low);
    if (end > MAX_HELD) return 'tls-too-long';
    if (length < end) return 'more';
    if (length > end || this.left > 0) return 'tls-malformed'; // RFC 8446 §5.1: nothing follows it in its record
    return this.finish(bytes.subarray(MESSAGE_HEADER_LEN));
  }

  private finish(body: Uint8Array): Step {
    const hello = readClientHello(body);
    if (hello === undefined) return 'tls-malformed';
    if (!this.onClaim({ by: 'tls', name: hello.serverName, hello })) return 'refused';
    this.message.clear();
    this.held = 0;
    if (this.isSecond) return 'free';
    this.hasEarlyData = hello.hasEarlyData;
    this.state = 'after';
    return 'more';
  }
}
