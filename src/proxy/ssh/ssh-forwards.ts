/**
 * SSH forwards: publications whose clients reach a Unix socket in a guest by its SSH server. Forwards to one guest by the
 * same user and key share a connection. Every client is accepted at once, and waits for the guest by itself.
 */
import type { Duplex } from 'node:stream';
import { Chain } from '../../base/chain.ts';
import { Counters } from '../../base/counters.ts';
import type { IpAddress } from '../../base/ip-address.ts';
import type { Log } from '../../base/log.ts';
import type { Clock } from '../../base/time.ts';
import { readSmallFile } from '../../native/read-small-file.ts';
import type { HostStream } from '../../native/stream/host-stream.ts';
import type { Guest } from '../../stack/guest.ts';
import type { FlowBook } from '../flows/flow-book.ts';
import { formatGuestName, type GuestTarget } from '../ports/publication-guest.ts';
import {
  formatHostSide,
  PublishError,
  type SshLogin,
  type UnixSpec,
} from '../ports/publish-spec.ts';
import type { SshCarrier, SshRoute } from '../ports/ssh-carrier.ts';
import { SshError, type SshLibrary, sshFailureOf } from './ssh-library.ts';
import { SSH_LIMITS, type SshLimits, SshSession, type SshSessionCount } from './ssh-session.ts';
import { type SpliceEnd, SshSplice } from './ssh-splice.ts';

export interface ForwardLimits extends SshLimits {
  /** Clients of all forwards: a channel may hold two megabytes in each direction. */
  readonly clients: number;
  /** Of these, such as wait for a guest. */
  readonly waiting: number;
  /** How long each waits: for a guest whose server comes after two minutes, and lets it in. */
  readonly patienceMs: number;
  /** Between two looks at a client that waits, and has sent more than is read before it is served. */
  readonly lookMs: number;
}

export const FORWARD_LIMITS: ForwardLimits = {
  ...SSH_LIMITS,
  clients: 1024,
  waiting: 256,
  patienceMs: 150_000,
  lookMs: 1_000,
};

/** `served` and `overflow` are clients; `client-...`, how others have ended than by an end of each side. */
export type SshCount =
  | SshSessionCount
  | 'served'
  | 'overflow'
  | `client-${Exclude<SpliceEnd, 'finished'>}`;

export interface SshForwardsDeps {
  /** Load the library, which takes long enough for a start to feel it: called when the first client comes. */
  load(): Promise<SshLibrary>;
  /** Connect to a port of a guest. */
  dial(guest: IpAddress, port: number, signal: AbortSignal): Promise<Duplex>;
  ownerOf(guest: IpAddress): Guest;
  readonly book: FlowBook;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
}

/** A session, and the guest as each of its forwards names it. */
interface SharedSession {
  readonly session: SshSession;
  readonly guests: Set<GuestTarget>;
}

export class SshForwards implements SshCarrier {
  readonly counts: Counters<SshCount> = new Counters();
  private readonly deps: SshForwardsDeps;
  private readonly limits: ForwardLimits;
  private readonly shared = new Map<string, SharedSession>();
  private readonly splices = new Chain<SshSplice>();

  constructor(deps: SshForwardsDeps, limits: Partial<ForwardLimits> = {}) {
    this.deps = deps;
    this.limits = { ...FORWARD_LIMITS, ...limits };
  }

  /** @throws PublishError */
  async open(publication: string, spec: UnixSpec, guest: GuestTarget): Promise<SshRoute> {
    const { ssh: login, guestPath: path, guestPort: port } = spec;
    if (login === undefined || path === undefined) {
      throw publishError('ERR_HAWSER_PUBLISH_SYNTAX', spec, 'it names no login or no socket');
    }
    const key = readKey(spec, login);
    const { user, passphrase } = login;
    const where = `${user}@${nameOf(spec)}:${port}`;
    const id = JSON.stringify([where, key, passphrase]);
    let shared = this.shared.get(id);
    if (shared === undefined) {
      const guests = new Set<GuestTarget>();
      const { limits, counts } = this;
      const session = new SshSession({
        ...{ identity: { user, key, passphrase }, where, limits, counts },
        load: () => this.deps.load(),
        dial: (signal) => this.dial(guests, port, signal),
        log: this.deps.log,
      });
      shared = { session, guests };
      this.shared.set(id, shared);
    }
    const { session, guests } = shared;
    guests.add(guest);
    const release = (): void => {
      guests.delete(guest);
      if (guests.size > 0) return;
      this.shared.delete(id);
      session.release();
    };
    try {
      // To decrypt a key takes a second in which nothing else is done: rather now than amid the guests' traffic.
      if (passphrase !== undefined) await session.prepare();
    } catch (error) {
      release();
      throw keyError(spec, login, messageOf(error));
    }
    const route = { publication, path, guest, session };
    return { serve: (stream, onEnd) => this.serve(stream, onEnd, route), release };
  }

  close(): void {
    for (const splice of this.splices) splice.end('closed');
    for (const { session } of this.shared.values()) session.close();
    this.shared.clear();
  }

  private serve(stream: HostStream, onEnd: () => void, route: Route): boolean {
    const { deps, counts } = this;
    if (!this.hasRoom()) {
      counts.add('overflow');
      return false;
    }
    const { publication, path, guest, session } = route;
    const address = guest.addressesFor(undefined)[0];
    const splice = new SshSplice(stream, {
      ...{ clock: deps.clock, publication, path, address },
      onOver: (over, why) => {
        this.splices.delete(over);
        deps.book.end(over.entry, why);
        if (why !== 'finished') counts.add(`client-${why}`);
        onEnd();
      },
    });
    counts.add('served');
    this.splices.add(splice);
    const owner = address === undefined ? undefined : deps.ownerOf(address);
    splice.entry = deps.book.add('unix', owner, undefined, splice);
    splice.start();
    void this.join(splice, session, path);
    return true;
  }

  /** Where too many wait, one that has sent all that it will, and has probably left, makes room. */
  private hasRoom(): boolean {
    if (this.splices.size >= this.limits.clients) return false;
    let waiting = 0;
    let gone: SshSplice | undefined;
    for (const splice of this.splices) {
      if (!splice.isWaiting) continue;
      waiting++;
      if (splice.hasEnded) gone ??= splice;
    }
    if (waiting < this.limits.waiting) return true;
    gone?.end('left');
    return gone !== undefined;
  }

  private async join(splice: SshSplice, session: SshSession, path: string): Promise<void> {
    const { patienceMs, lookMs } = this.limits;
    const timer = setTimeout(() => splice.end('timed-out'), patienceMs);
    const look = setInterval(() => {
      if (splice.hasLeft) splice.end('left');
    }, lookMs);
    try {
      splice.join(await session.open(path, splice.signal));
    } catch (error) {
      const { log } = this.deps;
      log.debug({ path, err: error }, 'SSH: a client was not served');
      splice.end(sshFailureOf(error) ?? 'unreachable');
    } finally {
      clearTimeout(timer);
      clearInterval(look);
    }
  }

  private async dial(
    guests: ReadonlySet<GuestTarget>,
    port: number,
    signal: AbortSignal,
  ): Promise<Duplex> {
    const [guest] = guests;
    let failure: unknown;
    for (const address of guest?.addressesFor(undefined) ?? []) {
      try {
        return await this.deps.dial(address, port, signal);
      } catch (error) {
        failure = error;
      }
    }
    const why = failure === undefined ? 'no guest is known yet' : messageOf(failure);
    throw new SshError('unreachable', why, { cause: failure });
  }
}

/** OpenSSH's, PEM, PuTTY's. The rest is checked when it is used. */
const PRIVATE_KEY = /^(-----BEGIN [A-Z ]*PRIVATE KEY-----|PuTTY-User-Key-File)/m;

interface Route {
  readonly publication: string;
  readonly path: string;
  readonly guest: GuestTarget;
  readonly session: SshSession;
}

function readKey(spec: UnixSpec, login: SshLogin): string {
  let key: string;
  try {
    key = readSmallFile(login.keyFile);
  } catch (error) {
    throw keyError(spec, login, messageOf(error));
  }
  if (PRIVATE_KEY.test(key)) return key;
  throw keyError(spec, login, 'it is not a private key');
}

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

const nameOf = ({ guest, guestAddress }: UnixSpec): string =>
  guest === undefined ? (guestAddress?.toString() ?? 'first guest') : formatGuestName(guest);

const keyError = (spec: UnixSpec, { keyFile }: SshLogin, why: string): PublishError =>
  publishError('ERR_HAWSER_PUBLISH_KEY', spec, `the private key ${keyFile} cannot be used: ${why}`);

const publishError = (code: string, spec: UnixSpec, why: string): PublishError =>
  new PublishError(code, `cannot publish ${formatHostSide(spec)}: ${why}`);
