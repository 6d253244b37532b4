/** What readers of a client's bytes have in common: they are given all of them, in order and in any cut, and look at each once. */
import type { ClientHello } from './client-hello.ts';

/** What a client says, in the clear, about where it wants to go. */
export interface Claim {
  readonly by: 'tls' | 'http' | 'h2c' | 'quic';
  /** In lower case; an address as it was written; undefined when the client states none. */
  readonly name: string | undefined;
  /** Of TLS and QUIC. */
  readonly hello: ClientHello | undefined;
}

/** Why bytes cannot be read, or not in one way only. */
export type Unreadable =
  | 'tls-malformed'
  | 'tls-too-long'
  | 'http-malformed'
  | 'http-too-long'
  | 'h2c-malformed'
  | 'h2c-too-long'
  | 'quic-malformed'
  | 'quic-too-long'
  /** Of a version, or with keys, that are not known. */
  | 'quic-unreadable'
  /** A PROXY header in front hides what follows from a reader of first bytes. */
  | 'proxy-header'
  /** The client ended in the middle. */
  | 'truncated';

/**
 * - `more`: all but the last {@link Reader.held} bytes may go on; those wait for what follows.
 * - `free`: nothing that follows names anything: the rest of the stream may go on unread.
 * - `again`: the client may speak another protocol from the byte at {@link Reader.at}.
 * - `h2c`: HTTP/2 follows, behind the first line of its preface.
 * - `refused`: a claim was.
 */
export type Step = 'more' | 'free' | 'again' | 'h2c' | 'refused' | Unreadable;

export interface Reader {
  /** Bytes read that may not go on yet. */
  readonly held: number;
  /** Where the last push has ended, when it was before `to`. */
  readonly at: number;
  push(bytes: Uint8Array, from: number, to: number): Step;
  /** The client has ended. */
  end(): Step;
}

/** @returns whether the client may go where it says */
export type OnClaim = (claim: Claim) => boolean;

/** Of one head of HTTP, one ClientHello: what is longer is not read. */
export const MAX_HELD: number = 16 * 1024;
