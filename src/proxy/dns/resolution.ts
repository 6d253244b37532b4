/**
 * One query on its way through the upstreams.
 *
 * The first is asked; after `attemptMs` without an answer the next, then the first again, while every
 * earlier attempt stays open: whoever answers first wins. A server that refuses (ICMP, reset) or
 * says SERVFAIL, NOTIMP or REFUSED is not asked again and the next follows at once; if all did, the
 * first such answer is the answer. Silence until the deadline is `undefined`, never NXDOMAIN.
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
  /** Until the next upstream is tried. */
  readonly attemptMs: number;
  /** Until nobody waits any more; counted anew for an answer that must be fetched by TCP. */
  readonly deadlineMs: number;
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
  private readonly open = new Set<Cancel>();
  private next = 0;
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
    for (const cancel of this.open) cancel();
    this.open.clear();
  }

  private attempt(): void {
    clearTimeout(this.attemptTimer);
    const state = this.pick();
    if (state === undefined) {
      if (this.useless.size === this.order.length) this.end(this.failure);
      return; // else: wait for an open attempt or the deadline
    }
    this.ask(state, 'udp');
    this.attemptTimer = setTimeout(() => {
      state.onSilence(this.now());
      this.attempt();
    }, this.timing.attemptMs);
    this.attemptTimer.unref();
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
        this.giveUpOn(state);
      },
    };
    cancel = (transport === 'udp' ? askUdp : askTcp)(state.server, this.query, events);
    this.open.add(cancel);
  }

  private onReply(state: UpstreamState, transport: Transport, reply: Uint8Array): void {
    const rcode = dnsRcode(reply);
    if (rcode === SERVFAIL || rcode === NOTIMP || rcode === REFUSED) {
      this.failure ??= reply;
      this.giveUpOn(state);
      return;
    }
    if (transport === 'udp' && this.transport === 'tcp' && (dnsFlags(reply) & FLAG_TC) !== 0) {
      clearTimeout(this.attemptTimer); // it answers: no reason to ask others meanwhile
      this.restartDeadline();
      this.ask(state, 'tcp');
      return;
    }
    this.end(reply);
  }

  private giveUpOn(state: UpstreamState): void {
    if (this.useless.has(state)) return;
    this.useless.add(state);
    this.attempt();
  }

  private restartDeadline(): void {
    clearTimeout(this.deadlineTimer);
    this.deadlineTimer = setTimeout(() => this.end(this.failure), this.timing.deadlineMs);
    this.deadlineTimer.unref();
  }

  private end(reply: Uint8Array | undefined): void {
    this.cancel();
    this.finish(reply);
  }
}
