/**
 * A link that is dialled until it is up, and redialled when it goes down. Failed attempts are repeated with
 * exponential backoff, bounded and jittered; a link that was up for a while is redialled at once.
 */
import type { Log } from '../../base/log.ts';
import type { PeerEndHandler, PeerLink } from '../../proxy/agent/peers.ts';
import type { MuxLinkState, OpenMuxLink } from './mux-link.ts';

const FIRST_MS = 100;
/** The link is up again within two seconds of the network's return. */
const MAX_MS = 1_000;
/** A link that was up for this long counts as a success: the backoff starts over. */
const STOOD_MS = 1_000;

/** Starts an attempt. @returns a function that cancels it while it is pending */
type Dial = (attempt: Attempt) => (() => void) | undefined;

/** One attempt. Exactly one of `onEnd` and `onFailed` is called, once. */
export interface Attempt {
  /** The peer is gone. */
  readonly onEnd: PeerEndHandler;
  /** No connection was established. */
  onFailed(problem: string): void;
  /** A connection is established, and carries the multiplexer. */
  onConnected(): void;
}

export class Redialer implements OpenMuxLink {
  readonly name: string;
  readonly order: number;
  state: MuxLinkState = 'connecting';
  problem = '';
  private readonly log: Log;
  private readonly dial: Dial;
  private giveUp: (() => void) | undefined = undefined;
  private delayMs = FIRST_MS;
  private connectedAt = 0;
  private timer: NodeJS.Timeout | undefined = undefined;
  private closed = false;

  /** @param dial starts one attempt; called at once, and again after each attempt has ended */
  constructor(link: PeerLink, log: Log, dial: Dial) {
    this.name = link.name;
    this.order = link.order;
    this.log = log;
    this.dial = dial;
  }

  start(): this {
    this.attempt();
    return this;
  }

  /** Dial now instead of waiting for the next attempt. */
  hurry(): void {
    if (this.timer === undefined) return;
    clearTimeout(this.timer);
    this.delayMs = FIRST_MS;
    this.attempt();
  }

  close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    this.giveUp?.();
    return Promise.resolve();
  }

  private attempt(): void {
    this.timer = undefined;
    if (this.closed) return;
    this.state = 'connecting';
    this.giveUp = this.dial({
      onConnected: () => {
        this.state = 'connected';
        this.connectedAt = performance.now();
      },
      onFailed: (problem) => this.again(problem),
      onEnd: (why, error, wasReady) => {
        if (wasReady && performance.now() - this.connectedAt > STOOD_MS) this.delayMs = FIRST_MS;
        this.again(error?.message ?? why);
      },
    });
  }

  private again(problem: string): void {
    this.state = 'connecting';
    if (problem !== this.problem && !this.closed) {
      this.log.debug({ link: this.name, problem }, 'mux link not up: dialling again');
    }
    this.problem = problem;
    if (this.closed) return;
    const delayMs = this.delayMs * (0.75 + Math.random() / 2);
    this.delayMs = Math.min(this.delayMs * 2, MAX_MS);
    this.timer = setTimeout(() => this.attempt(), delayMs);
    this.timer.unref();
  }
}
