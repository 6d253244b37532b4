/**
 * The ports that one source in the guest wants on the host: the whole set is sent to the host's guest API (`PUT /v1/ports`)
 * on one connection, then what changes (`PATCH`), and again the whole on the next when that ends. What the host refuses it
 * tries again by itself, and shows; the ports end with the connection, and so with this process.
 */
import type { Duplex } from 'node:stream';
import type { Log } from '../../base/log.ts';
import { Allowance } from '../../base/shares/allowance.ts';
import { parseAnswer, requestText } from '../docker-proxy/exchange.ts';
import { member } from '../docker-proxy/lease.ts';
import { type WantedPort, wantedText } from './wanted-port.ts';

export interface PublicationsDeps {
  readonly log: Log;
  /** The source, for logs: `containers`. */
  readonly source: string;
  /** Open a connection to the host's guest API. Undefined: no host is connected. */
  connect(): Duplex | undefined;
  readonly times?: PublicationTimes;
}

export interface PublicationTimes {
  readonly firstRetryMs: number;
  readonly lastRetryMs: number;
  /** While no host is connected. */
  readonly lookMs: number;
  readonly answerMs: number;
  /** Between lines of the log, while the outcome is another each time. */
  readonly calmMs: number;
}

const TIMES: PublicationTimes = {
  firstRetryMs: 100,
  lastRetryMs: 15_000,
  lookMs: 250,
  answerMs: 30_000,
  calmMs: 10_000,
};
const ANSWER_BYTES_MAX = 1 << 20;
const STATUS_GOOD = 200;
/** Of the log. */
const LINES_BURST = 10;

export class Publications {
  private readonly deps: PublicationsDeps;
  private readonly times: PublicationTimes;
  private wanted: ReadonlyMap<string, WantedPort> = new Map();
  private leftOut = 0;
  private connection: Duplex | undefined = undefined;
  private state: 'idle' | 'asking' | 'waiting' = 'idle';
  /** On this connection. Undefined: nothing. */
  private sent: Map<string, WantedPort> | undefined = undefined;
  private sentLeftOut = 0;
  /** Keys of what may be other than it was sent. Undefined: any. */
  private touched: Set<string> | undefined = undefined;
  private isClosed = false;
  private timer: NodeJS.Timeout | undefined = undefined;
  private retryMs: number;
  private readonly lines: Allowance;
  private words = '';
  private lastWords = '';
  private wordsTimer: NodeJS.Timeout | undefined = undefined;

  constructor(deps: PublicationsDeps) {
    this.deps = deps;
    this.times = deps.times ?? TIMES;
    this.retryMs = this.times.firstRetryMs;
    this.lines = new Allowance(LINES_BURST, 1_000 / this.times.calmMs);
  }

  get size(): number {
    return this.wanted.size;
  }

  /**
   * Let exactly these be published.
   *
   * @param wanted by what distinguishes them; it may change until the next call, which says so
   * @param leftOut how many more there are than may be sent
   * @param touched keys of what may be other than the last time. Undefined: any
   */
  reconcile(
    wanted: ReadonlyMap<string, WantedPort>,
    leftOut = 0,
    touched?: Iterable<string>,
  ): void {
    if (leftOut > 0 && this.leftOut === 0) {
      const { log, source } = this.deps;
      log.warn({ source, ports: wanted.size, leftOut }, 'so many ports are published, and no more');
    }
    this.wanted = wanted;
    this.leftOut = leftOut;
    if (touched === undefined) this.touched = undefined;
    else for (const key of touched) this.touched?.add(key);
    this.advance();
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.timer);
    clearTimeout(this.wordsTimer);
    this.connection?.destroy();
  }

  private advance(): void {
    if (this.isClosed || this.state !== 'idle') return;
    const change = this.change();
    if (change === 'none') return;
    const connection = this.connection ?? this.open();
    if (connection === undefined) {
      if (this.wanted.size > 0) this.retry(this.times.lookMs);
      return;
    }
    this.state = 'asking';
    this.note(change);
    this.ask(connection, change).then(
      (words) => {
        if (this.connection !== connection) return;
        this.retryMs = this.times.firstRetryMs;
        this.state = 'idle';
        this.say(words);
        this.advance();
      },
      (error: unknown) => {
        if (this.isClosed) return;
        this.say(error instanceof Error ? error.message : String(error));
        connection.destroy(); // 'close' follows, unless it has been there
      },
    );
  }

  private note({ changed }: Change): void {
    this.sentLeftOut = this.leftOut;
    this.touched = new Set();
    if (this.sent === undefined || changed === undefined) {
      this.sent = new Map(this.wanted);
      return;
    }
    for (const key of changed) {
      const port = this.wanted.get(key);
      if (port === undefined) this.sent.delete(key);
      else this.sent.set(key, port);
    }
  }

  /** What the host has to be told. */
  private change(): Change | 'none' {
    const { wanted, sent, leftOut } = this;
    const all = (): Change => ({
      method: 'PUT',
      body: { ports: [...wanted.values()].map(wantedText), leftOut },
      changed: undefined,
    });
    if (sent === undefined) return wanted.size === 0 ? 'none' : all();
    const add: string[] = [];
    const remove: string[] = [];
    const changed: string[] = [];
    for (const key of this.touched ?? new Set([...wanted.keys(), ...sent.keys()])) {
      const port = wanted.get(key);
      const before = sent.get(key);
      if (port === before) continue;
      const text = port === undefined ? undefined : wantedText(port);
      const textBefore = before === undefined ? undefined : wantedText(before);
      if (text === textBefore) continue;
      changed.push(key);
      if (text !== undefined) add.push(text);
      if (textBefore !== undefined) remove.push(textBefore);
    }
    if (add.length + remove.length === 0 && leftOut === this.sentLeftOut) {
      this.touched = new Set();
      return 'none';
    }
    if (add.length + remove.length > wanted.size) return all();
    return { method: 'PATCH', body: { add, remove, leftOut }, changed };
  }

  private open(): Duplex | undefined {
    const connection = this.deps.connect();
    this.connection = connection;
    connection?.on('error', () => {}); // 'close' follows
    connection?.once('close', () => {
      if (this.connection !== connection || this.isClosed) return;
      this.connection = undefined;
      this.sent = undefined;
      const delay = this.retryMs * (0.5 + Math.random());
      this.retryMs = Math.min(this.retryMs * 2, this.times.lastRetryMs);
      this.retry(delay);
    });
    return connection;
  }

  private retry(delayMs: number): void {
    this.state = 'waiting';
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.state = 'idle';
      this.advance();
    }, delayMs);
  }

  /** @returns the outcome in words */
  private ask(connection: Duplex, { method, body }: Change): Promise<string> {
    const { answerMs } = this.times;
    return new Promise((resolve, reject) => {
      let received: Buffer = Buffer.alloc(0);
      const finish = (): void => {
        clearTimeout(timer);
        connection.off('data', onData);
        connection.off('close', onClose);
      };
      const fail = (why: string): void => {
        finish();
        reject(new Error(`cannot publish: ${why}`));
      };
      const onClose = (): void => fail(UNREACHABLE);
      const onData = (part: Buffer): void => {
        received = received.length === 0 ? part : Buffer.concat([received, part]);
        const answer = parseAnswer(received, false);
        if (answer === 'bad') fail('the answer is not HTTP');
        else if (answer !== 'more') {
          finish();
          if (answer.status === STATUS_GOOD) resolve(wordsOf(answer.body));
          else reject(new Error(refusalOf(answer.status, answer.body)));
        } else if (received.length > ANSWER_BYTES_MAX) fail('its answer is too long');
      };
      const timer = setTimeout(() => fail('the host does not answer'), answerMs);
      connection.on('data', onData);
      connection.once('close', onClose);
      connection.write(requestText(HOST, method, '/v1/ports', body));
    });
  }

  /** While ports come and go all the time the words are others each time: the last are said now and then. */
  private say(words: string): void {
    this.words = words;
    if (this.wordsTimer !== undefined || words === this.lastWords) return;
    const waitMs = this.lines.take(performance.now());
    if (waitMs === 0) {
      this.lastWords = words;
      const { log, source } = this.deps;
      log.info({ source, words }, 'ports of the guest on the host');
      return;
    }
    this.wordsTimer = setTimeout(() => {
      this.wordsTimer = undefined;
      this.say(this.words);
    }, waitMs).unref();
  }
}

interface Change {
  readonly method: 'PUT' | 'PATCH';
  readonly body: object;
  /** Keys of what is other than it was sent. Undefined: all are sent. */
  readonly changed: readonly string[] | undefined;
}

const HOST = { kind: 'unix', path: '', carrier: 'mux', token: undefined } as const;
const UNREACHABLE =
  'the host has ended the connection to its guest API, or serves none: does it run, with --guest-api on?';

function wordsOf(body: string): string {
  const answer = parseJson(body);
  const problems = member(answer, 'problems');
  const why = (Array.isArray(problems) ? problems : []).map((one) => `${member(one, 'detail')}`);
  const waiting = Number(member(answer, 'waiting'));
  const published = `${Number(member(answer, 'published'))} published`;
  return waiting > 0 ? `${published}, ${waiting} waiting: ${why.join('; ')}` : published;
}

function refusalOf(status: number, body: string): string {
  const detail = member(parseJson(body), 'detail');
  return `cannot publish: ${typeof detail === 'string' ? detail : `the host answers ${status}`}`;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
