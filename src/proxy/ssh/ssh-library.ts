/**
 * What forwards use of an SSH library. `ssh-client.ts` provides it, in a file of its own that is read when the first
 * forward is published.
 */
import type { Duplex } from 'node:stream';

export interface SshLibrary {
  /** @throws SshError when the private key cannot be used */
  identify(identity: SshIdentity): SshLogin;
}

export interface SshIdentity {
  readonly user: string;
  /** The private key, as in its file. */
  readonly key: string;
  readonly passphrase: string | undefined;
}

export interface SshLogin {
  /**
   * Log in over a connected stream, which belongs to the connection from now on.
   *
   * @param onLost called once after a login, when the connection has ended
   * @throws SshError
   */
  connect(stream: Duplex, onLost: () => void): Promise<SshConnection>;
}

export interface SshConnection {
  /** It has ended, and what its channels had not received is lost. */
  readonly isLost: boolean;
  /** Channels that are open. */
  readonly channels: number;
  /** Connect to a Unix socket of the guest. Never rejects; a channel that opens too late is closed. */
  openUnix(path: string, timeoutMs: number): Promise<OpenOutcome>;
  /** Called when the last channel has closed. */
  onIdle: () => void;
  /** Close it, and all of its channels. */
  close(): void;
}

export type OpenOutcome =
  | { readonly kind: 'open'; readonly channel: Duplex }
  | { readonly kind: 'refused'; readonly text: string }
  | { readonly kind: 'no-answer' };

/**
 * | reason | |
 * |---|---|
 * | `unreachable` | there is no connection to the SSH server |
 * | `no-library` | the library cannot be loaded: it is a file beside hawser's own |
 * | `key` | the private key cannot be used |
 * | `denied` | the server does not accept user and key |
 * | `failed` | it speaks no SSH, or not ours, or was too slow |
 * | `refused` | it does not connect to the Unix socket |
 * | `timed-out` | the client has waited too long |
 * | `closed` | the forward has ended, or its client |
 */
const FAILURES = [
  'unreachable',
  'no-library',
  'key',
  'denied',
  'failed',
  'refused',
  'timed-out',
  'closed',
] as const;
export type SshFailure = (typeof FAILURES)[number];

export class SshError extends Error {
  override readonly name = 'SshError';
  readonly code: string;

  constructor(reason: SshFailure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = codeOf(reason);
  }
}

const codeOf = (reason: SshFailure): string =>
  `ERR_HAWSER_SSH_${reason.toUpperCase().replace('-', '_')}`;

/** By its code: the library's file has a class of its own. @returns undefined for another error */
export function sshFailureOf(error: unknown): SshFailure | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return FAILURES.find((reason) => error.code === codeOf(reason));
}
