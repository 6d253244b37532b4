/**
 * The resolution of one query by the upstreams.
 *
 * The first is asked; after `attemptMs` without an answer the next, then the first again, while every
 * earlier attempt stays open: the first answer wins. A server that refuses (ICMP, reset) or
 * answers SERVFAIL, NOTIMP or REFUSED is not asked again and the next follows at once; if all did, the
 * first such answer is the result. No answer before the deadline is `undefined`, never NXDOMAIN.
 *
 * Servers are asked over UDP first, except with `use-vc`. For a query received over TCP, a server that does not answer
 * over UDP, or refuses it, is asked over TCP before it is given up: clients often use TCP for that very reason.
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
import { type AskEvents, askTcp, askUdp, type Cancel } from './ask.ts';
import type { UpstreamState } from './upstreams.ts';

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

export type Transport = 'udp' | 'tcp';

export class Resolution {
  private readonly query: Uint8Array;
  private readonly transport: Transport;
  private readonly order: readonly UpstreamState[];
  private readonly timing: ResolutionTiming;
  private readonly now: () => Instant;
  private readonly finish: (reply: Uint8Array | undefined) => void;
  private readonly useless = new Set<UpstreamState>();
  /** Servers that did not answer over UDP. */
  private readonly mute = new Set<UpstreamState>();
  private readonly open = new Map<Cancel, UpstreamState>();
  private readonly attemptMs: number;
  private next = 0;
  private asked = 0;
  private failure: Uint8Array | undefined = undefined;
  private attemptTimer: NodeJS.Timeout | undefined = undefined;
  private deadlineTimer: NodeJS.Timeout | undefined = undefined;

  /** @param finish called once, never before {@link start} returns */
  constructor(
    query: Uint8Array,
    transport: Transport,
    order: readonly UpstreamState[],
    timing: ResolutionTiming,
    now: () => Instant,
    finish: (reply: Uint8Array | undefined) => void,
  ) {
    this.query = query;
    this.transport = transport;
    this.order = order;
    this.timing = timing;
    // Below the deadline for any number of servers, so that a silence is noticed and the next server is tried.
    this.attemptMs = Math.min(timing.attemptMs, timing.deadlineMs / (order.length + 1));
    this.now = now;
    this.finish = finish;
  }

  /** @param order not empty */
  start(): void {
    this.restartDeadline();
    this.attempt();
  }

  cancel(): void {
    clearTimeout(this.attemptTimer);
    clearTimeout(this.deadlineTimer);
    for (const cancel of this.open.keys()) cancel();
    this.open.clear();
  }

  private attempt(): void {
    clearTimeout(this.attemptTimer);
    const state = this.pick();
    if (state === undefined) {
      if (this.useless.size === this.order.length) this.end(this.failure);
      return; // else: wait for an open attempt or the deadline
    }
    this.asked++;
    const byTcp = this.timing.useVc === true || this.mute.has(state);
    this.ask(state, byTcp ? 'tcp' : 'udp');
    this.attemptTimer = setTimeout(() => this.onSilence(state), this.attemptMs);
    this.attemptTimer.unref();
  }

  private onSilence(state: UpstreamState): void {
    state.onSilence(this.now());
    if (this.transport === 'tcp') this.mute.add(state);
    const { attempts } = this.timing;
    if (attempts !== undefined && this.asked >= attempts * this.order.length) {
      this.end(this.failure);
    } else this.attempt();
  }

  private pick(): UpstreamState | undefined {
    if (this.open.size >= MAX_OPEN) return undefined;
    for (let i = 0; i < this.order.length; i++) {
      const state = this.order[this.next++ % this.order.length];
      if (state !== undefined && !this.useless.has(state)) return state;
    }
    return undefined;
  }

  private ask(state: UpstreamState, transport: Transport): void {
    let cancel: Cancel | undefined;
    const settle = (): void => {
      if (cancel !== undefined) this.open.delete(cancel);
    };
    const events: AskEvents = {
      onReply: (reply) => {
        settle();
        state.onAnswer();
        this.onReply(state, transport, reply);
      },
      onFailure: () => {
        settle();
        state.onSilence(this.now());
        if (transport === 'udp' && this.transport === 'tcp') this.ask(state, 'tcp');
        else if (transport === 'tcp') this.onUnreachable(state);
        else this.giveUpOn(state);
      },
    };
    cancel = (transport === 'udp' ? askUdp : askTcp)(state.server, this.query, events);
    this.open.set(cancel, state);
  }

  private onReply(state: UpstreamState, transport: Transport, reply: Uint8Array): void {
    const rcode = dnsRcode(reply);
    if (rcode === SERVFAIL || rcode === NOTIMP || rcode === REFUSED) {
      this.failure ??= reply;
      this.giveUpOn(state);
      return;
    }
    if (transport === 'udp' && this.transport === 'tcp' && (dnsFlags(reply) & FLAG_TC) !== 0) {
      clearTimeout(this.attemptTimer); // it answers: no reason to ask others
      this.restartDeadline();
      this.ask(state, 'tcp');
      return;
    }
    this.end(reply);
  }

  /** Unless an earlier attempt at it may still be answered. */
  private onUnreachable(state: UpstreamState): void {
    for (const open of this.open.values()) if (open === state) return;
    this.giveUpOn(state);
  }

  private giveUpOn(state: UpstreamState): void {
    if (this.useless.has(state)) return;
    this.useless.add(state);
    this.attempt();
  }

  private restartDeadline(): void {
    clearTimeout(this.deadlineTimer);
    this.deadlineTimer = setTimeout(() => {
      for (const state of this.open.values()) state.onSilence(this.now());
      this.end(this.failure);
    }, this.timing.deadlineMs);
    this.deadlineTimer.unref();
  }

  private end(reply: Uint8Array | undefined): void {
    this.cancel();
    this.finish(reply);
  }
}
