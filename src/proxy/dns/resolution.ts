/**
 * The resolution of one query by the upstreams.
 *
 * The first is asked; after `attemptMs` without an answer the next, then the first again, while every
 * earlier attempt stays open: the first answer wins. A server that refuses (ICMP, reset) or
 * answers SERVFAIL, NOTIMP or REFUSED is not asked again and the next follows at once; if all did, the
 * first such answer is the result. No answer before the deadline is `undefined`, never NXDOMAIN.
 *
 * Servers are asked over UDP first, except with `use-vc`. For a query received over TCP, a server that does not answer
 * over UDP, or refuses it, is asked over TCP before it is given up: clients often use TCP for that very reason. One that
 * is to be asked over TLS is asked over nothing else.
 */
import type { Instant } from '../../base/time.ts';
import {
  dnsFlags,
  dnsRcode,
  FLAG_TC,
  NOTIMP,
  REFUSED,
  SERVFAIL,
} from '../../services/dns/message.ts';
import type { DnsUpstream } from '../../services/dns/resolv-conf.ts';
import type { AskEvents, Dial } from './ask.ts';
import { Attempt, type AttemptSockets } from './attempt-sockets.ts';
import type { Transport, UpstreamState } from './upstreams.ts';

/** Attempts that may be open at a time: each holds a descriptor. */
const MAX_OPEN = 8;

export interface ResolutionTiming {
  /**
   * Until the next upstream is tried; less where not all servers could be tried before the deadline.
   */
  readonly attemptMs: number;
  /** Until the query fails; restarted for an answer that must be fetched over TCP. */
  readonly deadlineMs: number;
  /** How often each server is asked at most; undefined: until the deadline. */
  readonly attempts?: number | undefined;
  /** By TCP only. */
  readonly useVc?: boolean;
}

export interface ResolutionTask {
  readonly query: Uint8Array;
  readonly transport: Transport;
  /** Not empty. */
  readonly order: readonly UpstreamState[];
  readonly timing: ResolutionTiming;
  /** Of whoever asks: each attempt takes one. */
  readonly sockets: AttemptSockets;
  /** Others need a socket of this resolution: it is to be cancelled. */
  readonly evict: () => void;
  readonly now: () => Instant;
  /** In place of a connection that is made directly. */
  readonly dial?: Dial | undefined;
}

/** An answer, and the server that gave it. */
export interface Resolved {
  readonly reply: Uint8Array;
  readonly from: DnsUpstream;
}

export class Resolution {
  private readonly task: ResolutionTask;
  private readonly finish: (resolved: Resolved | undefined) => void;
  private readonly useless = new Set<UpstreamState>();
  /** Servers that did not answer over UDP. */
  private readonly mute = new Set<UpstreamState>();
  private readonly open = new Map<Attempt, UpstreamState>();
  private readonly attemptMs: number;
  private next = 0;
  private asked = 0;
  private ended = false;
  private failure: Resolved | undefined = undefined;
  private attemptTimer: NodeJS.Timeout | undefined = undefined;
  private deadlineTimer: NodeJS.Timeout | undefined = undefined;

  /** @param finish called once, never before {@link start} returns */
  constructor(task: ResolutionTask, finish: (resolved: Resolved | undefined) => void) {
    const { timing, order } = task;
    this.task = task;
    // Below the deadline for any number of servers, so that a silence is noticed and the next server is tried.
    this.attemptMs = Math.min(timing.attemptMs, timing.deadlineMs / (order.length + 1));
    this.finish = finish;
  }

  start(): void {
    this.restartDeadline();
    this.attempt();
  }

  cancel(): void {
    this.ended = true;
    clearTimeout(this.attemptTimer);
    clearTimeout(this.deadlineTimer);
    for (const attempt of this.open.keys()) {
      attempt.cancel();
      this.task.sockets.delete(attempt);
    }
    this.open.clear();
  }

  private attempt(): void {
    clearTimeout(this.attemptTimer);
    const state = this.pick();
    if (state === undefined) {
      if (this.useless.size === this.task.order.length) this.end(this.failure);
      return; // else: wait for an open attempt or the deadline
    }
    this.asked++;
    const { useVc } = this.task.timing;
    const byTcp = useVc === true || state.isSecure || this.mute.has(state);
    this.ask(state, byTcp ? 'tcp' : 'udp');
    this.attemptTimer = setTimeout(() => this.onSilence(state), this.attemptMs);
    this.attemptTimer.unref();
  }

  private onSilence(state: UpstreamState): void {
    state.onSilence(this.task.now());
    if (this.task.transport === 'tcp') this.mute.add(state);
    const { attempts } = this.task.timing;
    if (attempts !== undefined && this.asked >= attempts * this.task.order.length) {
      this.end(this.failure);
    } else this.attempt();
  }

  private pick(): UpstreamState | undefined {
    if (this.open.size >= MAX_OPEN) return undefined;
    for (let i = 0; i < this.task.order.length; i++) {
      const state = this.task.order[this.next++ % this.task.order.length];
      if (state !== undefined && !this.useless.has(state)) return state;
    }
    return undefined;
  }

  private ask(state: UpstreamState, transport: Transport): void {
    const { sockets, query, dial, evict } = this.task;
    if (!sockets.take()) {
      this.giveUpSoon(state);
      return;
    }
    let attempt: Attempt | undefined;
    const settle = (): void => {
      if (attempt !== undefined && this.open.delete(attempt)) sockets.delete(attempt);
    };
    const events: AskEvents = {
      onReply: (reply) => {
        settle();
        state.onAnswer();
        this.onReply(state, transport, reply);
      },
      onFailure: () => {
        settle();
        state.onSilence(this.task.now());
        if (transport === 'udp' && this.task.transport === 'tcp') this.ask(state, 'tcp');
        else if (transport === 'tcp') this.onUnreachable(state);
        else this.giveUpOn(state);
      },
    };
    attempt = new Attempt(state.ask(query, transport, dial, events), evict);
    this.open.set(attempt, state);
    sockets.add(attempt);
  }

  private onReply(state: UpstreamState, transport: Transport, reply: Uint8Array): void {
    const rcode = dnsRcode(reply);
    const resolved = { reply, from: state.server };
    if (rcode === SERVFAIL || rcode === NOTIMP || rcode === REFUSED) {
      this.failure ??= resolved;
      this.giveUpOn(state);
      return;
    }
    if (transport === 'udp' && this.task.transport === 'tcp' && (dnsFlags(reply) & FLAG_TC) !== 0) {
      clearTimeout(this.attemptTimer); // it answers: no reason to ask others
      this.restartDeadline();
      this.ask(state, 'tcp');
      return;
    }
    this.end(resolved);
  }

  /** Unless an earlier attempt at it may still be answered. */
  private onUnreachable(state: UpstreamState): void {
    for (const open of this.open.values()) if (open === state) return;
    this.giveUpOn(state);
  }

  /** There is no socket to ask it with. */
  private giveUpSoon(state: UpstreamState): void {
    setImmediate(() => {
      if (!this.ended) this.giveUpOn(state);
    });
  }

  private giveUpOn(state: UpstreamState): void {
    if (this.useless.has(state)) return;
    this.useless.add(state);
    this.attempt();
  }

  private restartDeadline(): void {
    clearTimeout(this.deadlineTimer);
    this.deadlineTimer = setTimeout(() => {
      for (const state of this.open.values()) state.onSilence(this.task.now());
      this.end(this.failure);
    }, this.task.timing.deadlineMs);
    this.deadlineTimer.unref();
  }

  private end(resolved: Resolved | undefined): void {
    this.cancel();
    this.finish(resolved);
  }
}
