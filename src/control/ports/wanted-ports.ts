/**
 * The ports that a publisher wants, as one set: exactly these are published for it, and what cannot be published now is
 * tried again until it can.
 *
 * | a port | when |
 * |---|---|
 * | published | it listens on the host |
 * | waiting | the host refused it; shown with the reason, and tried again |
 * | covered | the same publisher has the place already, by a request of its own: nothing is missing |
 * | withdrawn | the host's user withdrew it: it stays so until it has left the set |
 *
 * Guests are hostile: a set and its text are bounded by whoever reads it, how often ports are bound by `pace`, and tries of
 * what waits by {@link TRIES}. A place costs a share of the table.
 */

import { reportFault } from '../../base/faults.ts';
import type { Log } from '../../base/log.ts';
import type { Allowance } from '../../base/shares/allowance.ts';
import type { Clock, Instant, Timers } from '../../base/time.ts';
import { NODE_TIMERS } from '../../native/node-timers.ts';
import type { PortOwner } from '../../proxy/ports/port-owner.ts';
import type { PublicationEnd } from '../../proxy/ports/port-table.ts';
import {
  formatGuestSide,
  formatHostSide,
  type PortSpec,
  PublishError,
} from '../../proxy/ports/publish-spec.ts';
import {
  isUsual,
  type WaitingPort,
  type WaitingPorts,
  type WantingPublisher,
} from '../../proxy/ports/waiting-ports.ts';
import type { PortAccess } from './port-access.ts';

export interface WantedPortsDeps {
  readonly access: Pick<PortAccess, 'publish' | 'unpublish' | 'find'>;
  readonly owner: PortOwner;
  /** For logs. */
  readonly name: string;
  readonly waiting: WaitingPorts;
  /** Of binds. */
  readonly pace: Allowance;
  readonly clock: Pick<Clock, 'now'>;
  readonly timers?: Timers;
  readonly log: Log;
}

interface Wanted {
  readonly spec: PortSpec;
  state: 'new' | 'published' | 'waiting' | 'covered' | 'withdrawn';
  id: string;
  problem: PublishError | undefined;
  tryAt: Instant;
  /** Whether it is in the set. */
  isWanted: boolean;
}

export interface WantedOutcome {
  readonly published: number;
  readonly waiting: readonly WaitingPort[];
}

const TICK_MS = 1_000;
/** Of one tick. */
const TRIES = 64;
/** Ports published in a row, before others have their turn. */
const ROW = 16;
const RETRY_MS: Readonly<Record<string, number>> = {
  EADDRINUSE: 1_000,
  ERR_HAWSER_PUBLISH_KEPT: 1_000,
  ERR_HAWSER_PUBLISH_LIMIT: 5_000,
};
/** For what the host does not allow, or has no address for. */
const LONG_RETRY_MS = 15_000;
const COVERED_RETRY_MS = 5_000;

export class WantedPorts implements WantingPublisher {
  readonly owner: PortOwner;
  leftOut = 0;
  /** Whether its connection is held open. */
  isHeld = false;
  private readonly deps: WantedPortsDeps;
  private readonly ports = new Map<string, Wanted>();
  private queue: Wanted[] = [];
  private working: Promise<void> | undefined = undefined;
  private readonly timers: Timers;
  private cancelTick: (() => void) | undefined = undefined;
  private isClosed = false;

  constructor(deps: WantedPortsDeps) {
    this.deps = deps;
    this.owner = deps.owner;
    this.timers = deps.timers ?? NODE_TIMERS;
    deps.waiting.add(this);
  }

  /**
   * Want exactly these. What is wanted no more is withdrawn before this returns.
   *
   * @param leftOut what the publisher wants besides, and does not send
   * @returns when each new one has been tried
   */
  async replace(specs: readonly PortSpec[], leftOut: number): Promise<WantedOutcome> {
    const wanted = new Set(specs.map(keyOf));
    for (const [key, port] of this.ports) if (!wanted.has(key)) this.drop(key, port);
    return await this.add(specs, leftOut);
  }

  get size(): number {
    return this.ports.size;
  }

  /** Want these no more. They are withdrawn when this returns. */
  remove(specs: readonly PortSpec[]): void {
    for (const key of specs.map(keyOf)) {
      const port = this.ports.get(key);
      if (port !== undefined) this.drop(key, port);
    }
  }

  /** Want these besides. As {@link replace}. */
  async add(specs: readonly PortSpec[], leftOut: number): Promise<WantedOutcome> {
    const { log, name } = this.deps;
    if (leftOut > 0 && this.leftOut === 0) {
      log.warn({ agent: name, leftOut }, 'more ports are wanted than may be; the rest is left out');
    }
    this.leftOut = leftOut;
    for (const spec of specs) {
      const key = keyOf(spec);
      if (this.ports.has(key)) continue;
      const blank = { id: '', problem: undefined, tryAt: 0, isWanted: true };
      const port: Wanted = { spec, state: 'new', ...blank };
      this.ports.set(key, port);
      this.queue.push(port);
    }
    const fresh = [...this.queue];
    await this.work();
    this.report(fresh);
    this.schedule();
    return {
      published: [...this.ports.values()].filter(({ state }) => state === 'published').length,
      waiting: [...this.waiting()],
    };
  }

  *waiting(): Generator<WaitingPort> {
    const { owner } = this;
    for (const { spec, state, problem } of this.ports.values()) {
      if (state === 'waiting' && problem !== undefined) yield { spec, owner, problem };
    }
  }

  /** Nothing is wanted any more. */
  close(): void {
    this.isClosed = true;
    this.cancelTick?.();
    this.queue = [];
    this.deps.waiting.delete(this);
    for (const [key, port] of this.ports) this.drop(key, port);
  }

  private drop(key: string, port: Wanted): void {
    this.ports.delete(key);
    port.isWanted = false;
    if (port.state === 'published') this.deps.access.unpublish(port.id);
  }

  private work(): Promise<void> {
    this.working ??= this.workOff();
    return this.working;
  }

  private async workOff(): Promise<void> {
    const { pace, clock } = this.deps;
    let row = 0;
    await Promise.resolve(); // `working` is this from now on
    try {
      for (let port = this.queue.shift(); port !== undefined; port = this.queue.shift()) {
        if (!port.isWanted || port.state === 'published') continue;
        for (let ms = pace.take(clock.now()); ms > 0; ms = pace.take(clock.now())) {
          await this.sleep(ms);
        }
        if (++row % ROW === 0) await new Promise(setImmediate);
        if (!this.isClosed) await this.publish(port);
      }
    } finally {
      this.working = undefined; // at once: what is queued from now on has a work of its own
    }
  }

  private async publish(port: Wanted): Promise<void> {
    const { access, log, name } = this.deps;
    const { spec } = port;
    const onEnd = (why: PublicationEnd): void => this.onEnd(port, why);
    try {
      const { id } = await access.publish(spec, true, onEnd);
      if (this.isClosed || !port.isWanted) {
        access.unpublish(id);
        return;
      }
      if (port.state === 'waiting') {
        log.info({ agent: name, port: formatHostSide(spec) }, 'a port that waited is published');
      }
      port.id = id;
      port.state = 'published';
      port.problem = undefined;
    } catch (error) {
      if (!(error instanceof PublishError)) throw error;
      const isOwn = access.find(spec.protocol, spec.hostAddress, spec.hostPort) !== undefined;
      this.wait(port, error, isOwn ? 'covered' : 'waiting');
    }
  }

  private wait(port: Wanted, problem: PublishError, state: 'covered' | 'waiting'): void {
    port.state = state;
    port.problem = problem;
    const retryMs = state === 'covered' ? COVERED_RETRY_MS : RETRY_MS[problem.code];
    port.tryAt = this.deps.clock.now() + (retryMs ?? LONG_RETRY_MS);
  }

  /** Somebody else has ended it. */
  private onEnd(port: Wanted, why: PublicationEnd): void {
    if (!port.isWanted || port.state !== 'published') return;
    const message = `cannot publish ${formatHostSide(port.spec)}: others need its place`;
    if (why === 'withdrawn') port.state = 'withdrawn';
    else this.wait(port, new PublishError('ERR_HAWSER_PUBLISH_LIMIT', message), 'waiting');
    this.schedule();
  }

  private schedule(): void {
    if (this.isClosed || this.cancelTick !== undefined) return;
    if (![...this.ports.values()].some(isPending)) return;
    this.cancelTick = this.timers.after(TICK_MS, () => {
      this.cancelTick = undefined;
      this.tryAgain();
    });
  }

  private tryAgain(): void {
    const now = this.deps.clock.now();
    const due = [...this.ports.values()].filter((port) => isPending(port) && port.tryAt <= now);
    due.sort((one, other) => one.tryAt - other.tryAt);
    this.queue.push(...due.slice(0, TRIES));
    const done = (): void => this.schedule();
    this.work().then(done, (fault: unknown) => {
      reportFault('wanted-ports', fault);
      done();
    });
  }

  private sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.timers.after(ms, resolve);
    });
  }

  private report(fresh: readonly Wanted[]): void {
    const { log, name: agent } = this.deps;
    const usual: number[] = [];
    for (const { spec, state, problem } of fresh) {
      if (state !== 'waiting' || problem === undefined) continue;
      if (isUsual(spec)) usual.push(spec.hostPort);
      else log.info({ agent, why: problem.message }, 'a port of the guest waits');
    }
    if (usual.length === 0) return;
    const ports = [...new Set(usual)].sort((a, b) => a - b).join(', ');
    log.info({ agent, ports }, 'ports that hosts mostly have themselves are not published');
  }
}

const keyOf = (spec: PortSpec): string => `${formatHostSide(spec)} ${formatGuestSide(spec)}`;

const isPending = ({ state }: Wanted): boolean => state === 'waiting' || state === 'covered';
