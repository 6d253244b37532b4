/**
 * Follows a container engine by its API (Docker's, which Podman has too): it subscribes to events, then lists the
 * containers, and lists them again whenever something happens; and all of that again when the engine has restarted. An event
 * says only that the list is to be read, so that none has to be understood, and nothing depends on their order. The list may
 * be behind the events (dockerd says that a container has died, and cleans up before it lists it no more): after the last
 * event it is read again, less and less often.
 *
 * While the engine is away, or does not list them, what it had published stays; the next list corrects it. It is asked less and
 * less often: an engine, or a proxy before it, may take a subscription and end it at once, refuse the list alone, or not
 * answer at all. Events are read a piece at a time, with a pause, so that whatever it sends costs little; one that does
 * not end after {@link EVENT_BYTES_MAX} ends the subscription.
 */
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import type { Log } from '../../../base/log.ts';
import { messageOf } from '../../../network/errors.ts';

export interface EngineWatchDeps {
  readonly log: Log;
  /** A Unix socket. */
  readonly path: string;
  /** The containers that run, as the engine lists them. */
  readonly onList: (containers: unknown) => void;
  readonly times?: EngineWatchTimes;
}

export interface EngineWatchTimes {
  readonly firstRetryMs: number;
  readonly lastRetryMs: number;
  /** Between two lists, and between two pieces of events. */
  readonly pauseMs: number;
  /** To a whole list, and to the head of the answer to a subscription. */
  readonly answerMs: number;
  /** Between two lists for one event, at most: then it is believed. */
  readonly settleMs: number;
}

const TIMES: EngineWatchTimes = {
  firstRetryMs: 100,
  lastRetryMs: 5_000,
  pauseMs: 50,
  answerMs: 10_000,
  settleMs: 60_000,
};
const LIST_BYTES_MAX = 16 << 20;
/** One has all labels of its container. */
export const EVENT_BYTES_MAX: number = 1 << 20;
const NEWLINE = 0x0a;
const NO_ANSWER = 'it does not answer';
/** Of Docker and, where it has names of its own, Podman. */
const EVENTS = [
  ...['start', 'restart', 'die', 'died', 'stop', 'destroy', 'remove', 'pause', 'unpause'],
  ...['connect', 'disconnect', 'update', 'rename'],
];
const FILTERS = encodeURIComponent(
  JSON.stringify({ type: ['container', 'network'], event: EVENTS }),
);
/** The engine may answer before it has subscribed: what happened meanwhile is sent again. */
const SINCE_S = 2;

export class EngineWatch {
  private readonly deps: EngineWatchDeps;
  private readonly times: EngineWatchTimes;
  private readonly requests = new Set<ClientRequest>();
  private retryMs: number;
  /** Lists that failed, one after another. */
  private failedLists = 0;
  private timer: NodeJS.Timeout | undefined;
  private isListing = false;
  private isStale = false;
  /** Until the list is read again without an event. */
  private nextListMs: number;
  private isClosed = false;
  private lastFailure = '';
  /** Counts subscriptions: a list for an older one is not heeded. */
  private round = 0;

  constructor(deps: EngineWatchDeps) {
    this.deps = deps;
    this.times = deps.times ?? TIMES;
    this.retryMs = this.times.firstRetryMs;
    this.nextListMs = this.times.pauseMs;
  }

  start(): void {
    this.subscribe();
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.timer);
    for (const one of this.requests) one.destroy();
  }

  private subscribe(): void {
    const since = Math.floor(Date.now() / 1_000) - SINCE_S;
    const round = ++this.round;
    let begin = Number.POSITIVE_INFINITY;
    const lost = (why: string): void => {
      if (round !== this.round || this.isClosed) return;
      const { firstRetryMs, lastRetryMs } = this.times;
      if (performance.now() - begin >= lastRetryMs) this.retryMs = firstRetryMs;
      this.retry(why);
    };
    const events = this.get(`/events?since=${since}&filters=${FILTERS}`, (answer) => {
      clearTimeout(deadline);
      if (answer.statusCode !== 200) {
        events.destroy();
        lost(`it answers with status ${answer.statusCode}`);
        return;
      }
      begin = performance.now();
      this.lastFailure = '';
      this.deps.log.info({ path: this.deps.path }, 'containers are watched');
      this.onEvent();
      this.readEvents(answer, (why) => {
        lost(why);
        events.destroy();
      });
    });
    const deadline = this.limit(events);
    events.on('error', (error) => lost(error.message));
  }

  /** One event a line. */
  private readEvents(answer: IncomingMessage, onEnd: (why: string) => void): void {
    let lineLen = 0;
    answer.on('data', (part: Buffer) => {
      const newline = part.lastIndexOf(NEWLINE);
      lineLen = newline < 0 ? lineLen + part.length : part.length - newline - 1;
      if (newline >= 0) this.onEvent();
      if (lineLen > EVENT_BYTES_MAX) {
        onEnd('one of its events does not end');
        return;
      }
      answer.pause();
      setTimeout(() => answer.resume(), this.times.pauseMs);
    });
    answer.on('close', () => onEnd('its events ended'));
    answer.on('error', () => {}); // 'close' follows
  }

  private retry(why: string): void {
    this.round++;
    if (why !== this.lastFailure) {
      this.deps.log.info({ path: this.deps.path, why }, 'containers are not watched: trying again');
    }
    this.lastFailure = why;
    const delay = this.retryMs;
    this.retryMs = Math.min(2 * delay, this.times.lastRetryMs);
    clearTimeout(this.timer);
    this.isListing = false;
    this.timer = setTimeout(() => this.subscribe(), delay);
  }

  private onEvent(): void {
    this.nextListMs = this.times.pauseMs;
    this.list();
  }

  /** One at a time: what happens meanwhile is in the next. */
  private list(): void {
    this.isStale = true;
    if (this.isListing) return;
    clearTimeout(this.timer);
    this.isListing = true;
    this.isStale = false;
    const { round } = this;
    const next = (delayMs: number): void => {
      this.timer = setTimeout(() => {
        this.isListing = false;
        if (this.isStale) this.list();
        else this.listAgain();
      }, delayMs);
    };
    const isOver = (): boolean => round !== this.round || this.isClosed;
    this.readList().then(
      (containers) => {
        if (isOver()) return;
        this.failedLists = 0;
        this.deps.onList(containers);
        next(this.times.pauseMs);
      },
      (error: unknown) => {
        if (isOver()) return;
        this.isStale = true;
        next(this.onListFailure(messageOf(error)));
      },
    );
  }

  private listAgain(): void {
    const delayMs = this.nextListMs;
    if (delayMs > this.times.settleMs) return;
    this.nextListMs = 2 * delayMs;
    this.timer = setTimeout(() => this.list(), delayMs);
  }

  /** @returns when it is to be tried again, in milliseconds */
  private onListFailure(why: string): number {
    const { firstRetryMs, lastRetryMs } = this.times;
    const fields = { path: this.deps.path, why };
    if (this.failedLists === 0)
      this.deps.log.warn(fields, 'containers are not listed: trying again');
    return Math.min(firstRetryMs * 2 ** this.failedLists++, lastRetryMs);
  }

  private readList(): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const asked = this.get('/containers/json', (answer) => {
        const parts: Buffer[] = [];
        let len = 0;
        answer.on('data', (part: Buffer) => {
          len += part.length;
          if (len > LIST_BYTES_MAX) asked.destroy(new Error('its list is too long'));
          else parts.push(part);
        });
        answer.on('error', reject);
        answer.on('end', () => {
          if (answer.statusCode !== 200) {
            reject(new Error(`it answers with status ${answer.statusCode}`));
            return;
          }
          try {
            resolve(JSON.parse(Buffer.concat(parts).toString('utf8')));
          } catch (cause) {
            reject(new Error('its list is not JSON', { cause }));
          }
        });
      });
      this.limit(asked);
      asked.on('error', reject);
    });
  }

  /** @returns what ends it, unless it is cleared */
  private limit(asked: ClientRequest): NodeJS.Timeout {
    const end = (): void => void asked.destroy(new Error(NO_ANSWER));
    const timer = setTimeout(end, this.times.answerMs);
    asked.once('close', () => clearTimeout(timer));
    return timer;
  }

  private get(path: string, onAnswer: (answer: IncomingMessage) => void): ClientRequest {
    const options = { socketPath: this.deps.path, path, headers: { host: 'localhost' } };
    const asked = request({ ...options, agent: false }, onAnswer);
    this.requests.add(asked);
    asked.once('close', () => this.requests.delete(asked));
    asked.end();
    return asked;
  }
}
