/**
 * The login at one guest's SSH server, for all forwards to that guest by the same user and key.
 *
 * Theory of operation
 * -------------------
 * It connects when the first client comes, and stays connected. While the server is not there yet, or not any more,
 * one attempt follows another as long as a client waits; clients are accepted all the while, and each waits for itself.
 * A guest that was paused, or has slept, answers nothing on a connection that still seems to be there: a channel that is not
 * granted in time *retires* its connection. New channels go to a new one, and the channels of the retired one stay until they
 * end, or keepalive ends them with it.
 */

import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { Counters } from '../../base/counters.ts';
import type { Log } from '../../base/log.ts';
import { Deadline } from '../../native/deadline.ts';
import {
  type SshConnection,
  SshError,
  type SshIdentity,
  type SshLibrary,
  type SshLogin,
  sshFailureOf,
} from './ssh-library.ts';

export interface SshLimits {
  /** For a channel to be granted. */
  readonly openMs: number;
  /** For a connection to the SSH server. */
  readonly dialMs: number;
  /** Between attempts to connect: the first, doubled up to the last. */
  readonly firstRetryMs: number;
  readonly lastRetryMs: number;
  /** After the server has denied the login: servers penalize those who keep on trying. */
  readonly deniedMs: number;
  /** Logins denied, one after the other, until clients wait no more: a guest that boots may not have the key yet. */
  readonly denials: number;
  /** Attempts at a Unix socket that is not served: one that is about to be. */
  readonly refusals: number;
  /** Retired connections that still have channels. */
  readonly retired: number;
}

export const SSH_LIMITS: SshLimits = {
  openMs: 5_000,
  dialMs: 5_000,
  firstRetryMs: 100,
  lastRetryMs: 1_000,
  deniedMs: 5_000,
  denials: 3,
  refusals: 3,
  retired: 4,
};
const REFUSED_RETRY_MS = 200;

export type SshSessionCount = 'connected' | 'connect-failed' | 'denied' | 'retired' | 'lost';

export interface SshSessionDeps {
  /** Called when the first client comes. @throws SshError */
  load(): Promise<SshLibrary>;
  readonly identity: SshIdentity;
  /** The server, for the log. */
  readonly where: string;
  /** Connect to the server. */
  dial(signal: AbortSignal): Promise<Duplex>;
  readonly limits: SshLimits;
  readonly counts: Pick<Counters<SshSessionCount>, 'add'>;
  readonly log: Log;
}

/** A channel to a Unix socket of the guest. */
export interface SshChannel {
  readonly stream: Duplex;
  /** Its connection has ended, rather than the channel. */
  readonly connection: Pick<SshConnection, 'isLost'>;
}

export class SshSession {
  private readonly deps: SshSessionDeps;
  private readonly ending = new AbortController();
  private readonly retired = new Set<SshConnection>();
  private current: SshConnection | undefined = undefined;
  private login: SshLogin | undefined = undefined;
  private attempt: Promise<SshConnection> | undefined = undefined;
  /** Clients that wait for a channel. */
  private waiting = 0;
  private isReleased = false;

  constructor(deps: SshSessionDeps) {
    this.deps = deps;
  }

  /**
   * @param signal ends the wait
   * @throws SshError; the reason of `signal`
   */
  async open(path: string, signal: AbortSignal): Promise<SshChannel> {
    const { limits } = this.deps;
    this.waiting++;
    try {
      for (let refused = 0; ; ) {
        const connection = await until(this.connection(), signal);
        const outcome = await connection.openUnix(path, limits.openMs);
        if (outcome.kind === 'open') return { stream: outcome.channel, connection };
        signal.throwIfAborted();
        if (outcome.kind === 'no-answer') {
          this.retire(connection);
          continue;
        }
        refused++;
        if (refused >= limits.refusals) throw new SshError('refused', outcome.text);
        await delay(REFUSED_RETRY_MS, undefined, { signal, ref: false });
      }
    } finally {
      this.waiting--;
      this.closeIdle();
    }
  }

  /** Load the library and read the key ahead of the first client. @throws SshError */
  async prepare(): Promise<void> {
    await this.identified();
  }

  /** No forward uses it any more: it ends with its last channel. */
  release(): void {
    this.isReleased = true;
    this.closeIdle();
  }

  close(): void {
    this.ending.abort(new SshError('closed', 'the forward has ended'));
    this.current?.close();
    for (const connection of this.retired) connection.close();
    this.current = undefined;
    this.retired.clear();
  }

  private connection(): Promise<SshConnection> {
    if (this.current !== undefined) return Promise.resolve(this.current);
    this.attempt ??= this.connect().finally(() => {
      this.attempt = undefined;
    });
    return this.attempt;
  }

  /** Attempts, until one succeeds or no client waits. */
  private async connect(): Promise<SshConnection> {
    const { limits, counts, log, where } = this.deps;
    let retryMs = limits.firstRetryMs;
    for (let denials = 0; ; ) {
      try {
        const connection = await this.connectOnce();
        if (this.ending.signal.aborted) connection.close();
        this.ending.signal.throwIfAborted();
        counts.add('connected');
        log.info({ server: where }, 'SSH: logged in');
        this.current = connection;
        connection.onIdle = () => this.onIdle(connection);
        return connection;
      } catch (error) {
        this.ending.signal.throwIfAborted();
        const failure = sshFailureOf(error);
        const isDenied = failure === 'denied';
        if (failure === 'key' || failure === 'no-library') {
          log.error({ server: where, err: error }, 'SSH: no login is possible');
          throw error;
        }
        counts.add(isDenied ? 'denied' : 'connect-failed');
        if (isDenied) log.warn({ server: where, err: error }, 'SSH: the login was denied');
        else log.debug({ server: where, err: error }, 'SSH: no connection yet');
        if (isDenied && ++denials >= limits.denials) throw error;
        const { signal } = this.ending;
        await delay(isDenied ? limits.deniedMs : retryMs, undefined, { signal, ref: false });
        if (this.waiting === 0) throw error;
        retryMs = Math.min(2 * retryMs, limits.lastRetryMs);
      }
    }
  }

  private async identified(): Promise<SshLogin> {
    const library = await this.deps.load();
    this.login ??= library.identify(this.deps.identity);
    return this.login;
  }

  private async connectOnce(): Promise<SshConnection> {
    const { limits } = this.deps;
    const login = await this.identified();
    const deadline = new Deadline(limits.dialMs, this.ending.signal);
    const stream = await this.deps.dial(deadline.signal).finally(() => deadline.end());
    const made = login.connect(stream, () => {
      void made.then((connection) => this.onLost(connection));
    });
    return await made;
  }

  private onLost(connection: SshConnection): void {
    const { counts, log, where } = this.deps;
    const isKept = this.retired.delete(connection) || this.current === connection;
    if (this.current === connection) this.current = undefined;
    if (!isKept || this.ending.signal.aborted) return;
    counts.add('lost');
    log.info({ server: where }, 'SSH: the connection has ended');
  }

  private retire(connection: SshConnection): void {
    if (this.current !== connection) return;
    this.current = undefined;
    this.deps.counts.add('retired');
    if (connection.channels === 0) {
      connection.close();
      return;
    }
    this.retired.add(connection);
    if (this.retired.size <= this.deps.limits.retired) return;
    const [oldest] = this.retired;
    if (oldest === undefined) return;
    this.retired.delete(oldest);
    oldest.close();
  }

  private onIdle(connection: SshConnection): void {
    if (this.retired.delete(connection)) connection.close();
    else this.closeIdle();
  }

  private closeIdle(): void {
    const isInUse = this.waiting > 0 || this.retired.size > 0 || (this.current?.channels ?? 0) > 0;
    if (this.isReleased && !isInUse) this.close();
  }
}

/** `promise`, or what aborts the wait for it. */
function until<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
