/**
 * One run of the daemon, from its pid file to its exit status.
 *
 * Order of starting: pid file, network, control API, readiness; of ending: the reverse. What a drop-in serves
 * ({@link DaemonDeps.serveMore}) comes before the links of the network. The end is
 * wanted by a signal, by the API or by the last guest's leaving, and may be wanted at any time, while
 * starting too. It is graceful for {@link GRACE_MS}; then, or at a second signal, the process exits with
 * the remaining paths removed.
 */
import { reportFault } from '../base/faults.ts';
import type { Log } from '../base/log.ts';
import type { ApiListener } from '../control/api-listener.ts';
import { serveControlApi } from '../control/control-api.ts';
import type { SandboxView } from '../control/network-view.ts';
import { isInherited } from '../native/inherited-listeners.ts';
import type { DaemonNetwork, OpenNetwork } from '../network/daemon-network.ts';
import { EXIT_FAILURE, messageOf, RunError, UsageError } from '../network/errors.ts';
import { fileProblems } from '../network/file-problems.ts';
import type { Network } from '../network/network-interface.ts';
import type { Started } from './boot/program-file.ts';
import type { DaemonConfig } from './daemon-config.ts';
import { closeEarlyDebugger } from './early-debugger.ts';
import { END_SIGNALS } from './early-signals.ts';
import { asGiven } from './given-words.ts';
import { OwnedPaths } from './owned-paths.ts';
import { watchParent } from './parent-watch.ts';
import { claimPidFile, releasePidFile } from './pid-file.ts';
import { placeProblem } from './place-problem.ts';
import { announceReady, checkReadyFd } from './readiness.ts';
import { linkPaths, makeSocketDirectories } from './socket-paths.ts';

export const GRACE_MS = 3_000;

/** What the daemon uses of `process`; tests pass an `EventEmitter`. */
export interface ProcessEvents {
  on(event: string, listener: (...args: unknown[]) => void): unknown;
  off(event: string, listener: (...args: unknown[]) => void): unknown;
}

/** What the process gives up. */
export interface DaemonSandbox {
  /** Directories that were made for sockets already, each before its parents. */
  readonly made: readonly string[];
  view(): SandboxView;
  /** Called when everything accepts, before the readiness line. @throws RunError */
  enterService(): void;
}

/** A part of the daemon that ends with it. */
export interface Closable {
  close(): Promise<void> | void;
}

/** The daemon, for what is served beside its network. */
export interface ServingDaemon {
  readonly log: Log;
  readonly version: string;
  /** Undefined: there is none. */
  readonly sandbox: (() => SandboxView) | undefined;
  /** Closed at the end, in the reverse order, also when a start fails. */
  add(part: Closable): void;
  /** Remove this file, which exists now, at any end of the daemon, unless another has taken its place. */
  own(path: string): void;
  /** Make what is missing of the directories above `path`, and remove them at the end. */
  makeDirectoriesFor(path: string): void;
  /** Call back once everything accepts, links included. */
  whenReady(callback: () => void): void;
  /** End with status 0. */
  stop(why: string): void;
  /** End with status 1. */
  fail(why: Error): void;
}

export interface DaemonDeps {
  readonly openNetwork: OpenNetwork;
  readonly log: Log;
  readonly version: string;
  readonly events: ProcessEvents;
  readonly graceMs: number;
  readonly sandbox?: DaemonSandbox | undefined;
  /** End the process at once. */
  exit(status: number): void;
  /** Ports of this process that guests may reach, beside those that are published. */
  readonly offered?: readonly number[];
  /** Called when the directories of sockets are there. @throws Error when one is not safe */
  checkDirectories?(): void;
  /**
   * SIGHUP: read again what may have changed.
   *
   * @returns what could not be read, and why
   * @throws Error that says what is wrong with it
   */
  reload?(network: DaemonNetwork | undefined): Promise<readonly string[]>;
  /** Serve more: called when the network is there, and before guests can attach to its links. */
  serveMore?(network: Network & DaemonNetwork, daemon: ServingDaemon): Promise<void>;
  /** Behind the process id in the pid file. Default: a line feed. */
  readonly pidFileEnd?: '' | '\n' | undefined;
  /** Called when everything accepts, after the readiness line. */
  onReady?(network: DaemonNetwork): void;
}

/** A bundle's parameter: only there. */
declare const HAWSER_START: Started;

/** @throws UsageError with a line for each */
function checkFiles(options: DaemonConfig): void {
  const problems = fileProblems(options).map(
    ({ key, path, why }) => `${asGiven(options.words, { key, value: path })}: ${why}`,
  );
  if (problems.length > 0) throw new UsageError(problems);
}

/**
 * @returns the exit status of a wanted end
 * @throws UsageError, or an Error that says what failed and what to do; nothing is left behind
 */
export async function runDaemon(options: DaemonConfig, deps: DaemonDeps): Promise<number> {
  if (options.readyFd !== undefined) checkReadyFd(options.readyFd);
  checkFiles(options);
  const daemon = new Daemon(options, deps);
  daemon.listen();
  try {
    await daemon.start();
    await daemon.stopped;
  } catch (error) {
    if (!daemon.isStopping) throw error;
    deps.log.warn({ err: error }, 'hawser did not finish starting before its end');
  } finally {
    await daemon.end();
  }
  if (daemon.failure !== undefined) throw daemon.failure;
  return 0;
}

function contained(error: unknown): boolean {
  try {
    reportFault('uncaught', error);
    return true;
  } catch {
    return false; // nobody watches
  }
}

class Daemon {
  readonly stopped: Promise<void>;
  isStopping = false;
  private isReady = false;
  /** Why the end counts as a failure. */
  failure: Error | undefined;
  private readonly options: DaemonConfig;
  private readonly deps: DaemonDeps;
  private readonly owned: OwnedPaths;
  private resolveStopped: () => void = () => {};
  private graceTimer: NodeJS.Timeout | undefined;
  private guestTimer: NodeJS.Timeout | undefined;
  /** Stop watching for the ends of others. */
  private readonly watches: (() => void)[] = [];
  private network: DaemonNetwork | undefined;
  private api: ApiListener | undefined;
  private readonly more: Closable[] = [];
  private readonly awaitingReady: (() => void)[] = [];
  private hasPidFile = false;
  private readonly listeners: ReadonlyMap<string, (...args: unknown[]) => void>;

  constructor(options: DaemonConfig, deps: DaemonDeps) {
    this.options = options;
    this.deps = deps;
    this.owned = new OwnedPaths(deps.sandbox?.made);
    this.stopped = new Promise((resolve) => {
      this.resolveStopped = resolve;
    });
    this.listeners = new Map<string, (...args: unknown[]) => void>([
      ...END_SIGNALS.map((signal) => [signal, () => this.onSignal(signal)] as const),
      ['SIGHUP', () => void this.reload()],
      ['SIGUSR1', () => deps.log.info({}, 'SIGUSR1 ignored: it would open a debugger')],
      ['uncaughtException', (error) => this.onUncaught(error)],
      ['exit', () => this.removePaths()],
    ]);
  }

  listen(): void {
    for (const [event, listener] of this.listeners) this.deps.events.on(event, listener);
  }

  async start(): Promise<void> {
    const { options, deps } = this;
    const { sandbox } = deps;
    const { exitWithParent } = options;
    if (exitWithParent !== false) {
      const onGone = (pid: number): void => this.stop(`its parent, process ${pid}, is gone`);
      this.watches.push(watchParent(exitWithParent, onGone));
    }
    if (options.pidFile !== undefined) {
      await claimPidFile(options.pidFile, deps.pidFileEnd);
      this.hasPidFile = true;
    }
    if (this.isStopping) return;
    this.makeDirectories();
    const network = await this.openNetwork();
    this.network = network;
    network.denyProcess(deps.offered ?? []);
    if (options.exitWithGuest) this.awaitGuests(network);
    const links = network.view.info().links.map(({ link }) => link);
    for (const path of linkPaths(options)) this.own(path);
    if (this.isStopping) return;
    await this.serveApi(network);
    if (this.isStopping) return;
    sandbox?.enterService();
    await this.announce(network, links, this.api?.where ?? '');
  }

  private async openNetwork(): Promise<DaemonNetwork> {
    const { options, deps } = this;
    try {
      return await deps.openNetwork(options, deps.log, async (opened) => {
        await deps.serveMore?.(opened, this.serving());
      });
    } catch (error) {
      throw placeProblem(error, options);
    }
  }

  private async serveApi(network: DaemonNetwork): Promise<void> {
    const { options, deps } = this;
    const { api: address } = options;
    const { sandbox } = deps;
    if (address.kind === 'none') return;
    const served = serveControlApi({
      address,
      name: options.name,
      version: deps.version,
      view: network.view,
      ports: network.ports,
      log: deps.log,
      attach: (socket, framing) => {
        network.attachConnection(socket, framing, 'connect');
      },
      ...(sandbox === undefined ? {} : { sandbox: () => sandbox.view() }),
      onShutdown: () => this.stop('the control API asked for it'),
    });
    this.api = await served.catch((error: unknown) => {
      throw placeProblem(error, options);
    });
    const { tcp } = this.api;
    if (tcp !== undefined) network.denyGuests(tcp.address, tcp.port);
    if (address.kind === 'unix') this.own(address.path);
  }

  private serving(): ServingDaemon {
    const { sandbox } = this.deps;
    return {
      log: this.deps.log,
      version: this.deps.version,
      sandbox: sandbox && (() => sandbox.view()),
      add: (part) => this.more.push(part),
      own: (path) => this.own(path),
      makeDirectoriesFor: (path) => this.owned.makeDirectoriesFor(path),
      whenReady: (callback) => this.awaitingReady.push(callback),
      stop: (why) => this.stop(why),
      fail: (failure) => {
        this.failure ??= failure;
        this.stop(failure.message);
      },
    };
  }

  private own(path: string): void {
    if (!isInherited(path)) this.owned.add(path);
  }

  private makeDirectories(): void {
    makeSocketDirectories(this.options, (path) => this.owned.makeDirectoriesFor(path));
    this.deps.checkDirectories?.();
  }

  /** End with the last guest; or when the first does not come. */
  private awaitGuests(network: DaemonNetwork): void {
    network.onLastGuestGone(() => this.stop('the last guest has left'));
    const { guestTimeoutS } = this.options;
    if (guestTimeoutS === 0) return;
    this.guestTimer = setTimeout(() => {
      if (network.view.info().links.some(({ attachedGuests }) => attachedGuests > 0)) {
        this.deps.log.debug({ guestTimeoutS }, 'a guest has come in time');
        return;
      }
      const why = `no guest has come within ${guestTimeoutS} s (--guest-timeout)`;
      this.failure = new RunError(`${why}: see whether it is started, and with the right socket`);
      this.stop(why);
    }, guestTimeoutS * 1_000);
    this.guestTimer.unref();
  }

  private async announce(
    network: DaemonNetwork,
    links: readonly string[],
    api: string,
  ): Promise<void> {
    const { options, deps } = this;
    const { name } = options;
    deps.log.info({ name, links, api, version: deps.version }, 'hawser is ready');
    if (options.readyFd !== undefined) {
      const ports = network.view.ports();
      const readiness = { ready: true, name, pid: process.pid, links, api, ports } as const;
      announceReady(options.readyFd, readiness, deps.log, options.exitWithReadyFd);
    }
    this.isReady = true;
    const stay = setInterval(() => {}, 2 ** 30); // without a link or an API nothing else keeps the process
    this.watches.push(() => clearInterval(stay));
    const missing = deps.sandbox?.view().parts.filter(({ holds }) => !holds) ?? [];
    if (missing.length > 0)
      deps.log.info({ missing }, 'this system cannot have all of the sandbox');
    closeEarlyDebugger(deps.log);
    deps.onReady?.(network);
    for (const callback of this.awaitingReady.splice(0)) callback();
    if (typeof HAWSER_START === 'object') HAWSER_START.keepPackages();
    if (options.readyFd !== undefined && options.exitWithReadyFd) {
      const { watchReader } = await import('./reader-watch.ts');
      const onGone = (): void => this.stop('--ready-fd has no reader any more');
      this.watches.push(await watchReader(options.readyFd, onGone));
    }
  }

  private async reload(): Promise<void> {
    const { deps, network } = this;
    if (this.isStopping) return;
    try {
      const unread = (await deps.reload?.(network)) ?? [];
      if (unread.length === 0) deps.log.info({}, 'SIGHUP: log, hosts and zones are read again');
      else deps.log.warn({ unread }, 'SIGHUP: not all is read again: the rest stays as it was');
    } catch (error) {
      deps.log.error({ reason: messageOf(error) }, 'SIGHUP: the previous settings stay in effect');
    }
  }

  /** Begin a graceful end. */
  private stop(why: string): void {
    if (this.isStopping) return;
    this.isStopping = true;
    this.deps.log.info({}, `hawser ends: ${why}`);
    this.startGrace();
    this.resolveStopped();
  }

  private startGrace(): void {
    this.graceTimer ??= setTimeout(() => {
      this.deps.log.warn({}, 'the graceful end took too long: leaving at once');
      this.leave(this.isStopping ? 0 : EXIT_FAILURE);
    }, this.deps.graceMs);
  }

  private onSignal(signal: string): void {
    if (this.isStopping) this.leave(0);
    else this.stop(signal);
  }

  /** Once ready, others depend on it: what has thrown is lost, and everybody else's traffic goes on. */
  private onUncaught(error: unknown): void {
    if (this.isReady && contained(error)) return;
    this.deps.log.error({ err: error }, 'hawser failed: a bug, please report it');
    this.leave(EXIT_FAILURE);
  }

  private leave(status: number): void {
    this.removePaths();
    this.deps.exit(status);
  }

  private removePaths(): void {
    this.owned.removeAll();
    if (this.hasPidFile && this.options.pidFile !== undefined) releasePidFile(this.options.pidFile);
    this.hasPidFile = false;
  }

  /** Close what was started; failures to do so are logged, for the end is wanted. */
  async end(): Promise<void> {
    this.startGrace();
    clearTimeout(this.guestTimer);
    for (const stopWatch of this.watches.splice(0)) stopWatch();
    for (const part of [...this.more.splice(0).reverse(), this.api, this.network]) {
      try {
        await part?.close();
      } catch (error) {
        this.deps.log.error({ err: error }, 'could not close cleanly');
      }
    }
    clearTimeout(this.graceTimer);
    this.removePaths();
    for (const [event, listener] of this.listeners) this.deps.events.off(event, listener);
  }
}
