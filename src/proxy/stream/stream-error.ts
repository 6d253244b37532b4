/** The codes of a socket that ends for the same reason, for code written for sockets. */
const SOCKET_CODES: Readonly<Record<string, string>> = {
  refused: 'ECONNREFUSED',
  unreachable: 'EHOSTUNREACH',
  'timed-out': 'ETIMEDOUT',
  prohibited: 'EACCES',
  'reset-by-guest': 'ECONNRESET',
  'reset-by-host': 'ECONNRESET',
  'reset-by-peer': 'ECONNRESET',
};

/**
 * A stream ended otherwise than by an end in each direction.
 *
 * `code` is that of a socket that fails for this reason (`ECONNREFUSED`, `ECONNRESET`, `EHOSTUNREACH`, `ETIMEDOUT`,
 * `EACCES`); where there is none, it is derived from the reason: `ERR_HAWSER_LINK_DOWN`, `ERR_HAWSER_LIMIT`.
 */
export class StreamError extends Error {
  override readonly name = 'StreamError';
  readonly code: string;
  /** `CloseReason` of a TCP flow or a vsock stream, `ChannelEnd` of a channel. */
  readonly reason: string;

  /** @param text the peer's explanation, or '' */
  constructor(reason: string, text: string) {
    super(`the stream ended: ${reason}${text === '' ? '' : ` (${text})`}`);
    this.reason = reason;
    this.code = SOCKET_CODES[reason] ?? `ERR_HAWSER_${reason.toUpperCase().replaceAll('-', '_')}`;
  }
}
