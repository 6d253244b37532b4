/** What a client and a proxy say to each other before the bytes of a flow pass. */

/** Why a proxy does not serve a flow. */
export interface ProxyFailure {
  /** Of a connect that fails so: `ECONNREFUSED`; `EPROTO` for what no proxy says. */
  readonly code: string;
  /** For people, of printable ASCII: `the proxy answers 403 Forbidden`. */
  readonly text: string;
  /** Of HTTP. */
  readonly status: number | undefined;
}

export type HandshakeStep =
  | 'more'
  /** These bytes are to be sent; then more is expected. */
  | { readonly send: Uint8Array }
  /** The flow is open; the bytes from `at` on are its own. */
  | { readonly at: number }
  | ProxyFailure;

export interface Handshake {
  /** What the client sends first. */
  readonly hello: Uint8Array;
  /** Bytes of the proxy, in order and in any cut; none after an end or a failure. */
  push(bytes: Uint8Array, from: number, to: number): HandshakeStep;
}

export const isFailure = (step: HandshakeStep): step is ProxyFailure =>
  typeof step !== 'string' && 'code' in step;

export const proxyFailure = (code: string, text: string, status?: number): ProxyFailure => ({
  ...{ code, text, status },
});
