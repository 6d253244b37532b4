/**
 * One publication on the host, held for as long as this process lives: the daemon withdraws it when the
 * connection that asked for it closes. So a proxy that is killed frees the host's port, whatever killed it.
 *
 * `open` asks once and returns the host's answer. From then on the lease is renewed automatically: when the
 * connection ends (the daemon restarted, the network is gone) it asks again, with back-off, until closed.
 */
import type { Socket } from 'node:net';
import { type ControlEndpoint, describeEndpoint } from './endpoint.ts';
import { type Answer, exchange, UnreachableError } from './exchange.ts';

/** The host refused. The message is the host's, verbatim. */
export class RefusedError extends Error {
  readonly status: number;
  /** The system's, where the host reports it: `EADDRINUSE`. */
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export interface LeaseDeps {
  /** Where to ask now, the likeliest first. @throws Error when there is nowhere */
  readonly endpoints: () => readonly ControlEndpoint[];
  /** The body of the request. */
  readonly ask: (endpoint: ControlEndpoint) => object;
  /** A refusal that is as good as a publication. */
  readonly isCovered: (endpoint: ControlEndpoint, refused: RefusedError) => Promise<boolean>;
  readonly say: (line: string) => void;
}

export interface LeaseTimes {
  /** For one endpoint. */
  readonly answerMs: number;
  /** For all of them, in `open`. */
  readonly openMs: number;
  readonly firstRetryMs: number;
  readonly lastRetryMs: number;
}

/** dockerd gives up on a proxy after 16 s: by then it has heard why, though a list was asked for, and a broker started. */
export const LEASE_TIMES: LeaseTimes = {
  answerMs: 5_000,
  openMs: 8_000,
  firstRetryMs: 100,
  lastRetryMs: 5_000,
};
const LIST_MS = 3_000;

export class Lease {
  private readonly deps: LeaseDeps;
  private readonly times: LeaseTimes;
  private socket: Socket | undefined;
  private timer: NodeJS.Timeout | undefined;
  private retryMs: number;
  private closed = false;

  constructor(deps: LeaseDeps, times: LeaseTimes = LEASE_TIMES) {
    this.deps = deps;
    this.times = times;
    this.retryMs = times.firstRetryMs;
  }

  /** @throws RefusedError, UnreachableError; nothing is held then, and nothing tried again */
  async open(): Promise<void> {
    let unreachable: Error | undefined;
    const endMs = performance.now() + this.times.openMs;
    for (const endpoint of this.deps.endpoints()) {
      const leftMs = endMs - performance.now();
      if (leftMs <= 0) break;
      try {
        await this.openAt(endpoint, Math.min(this.times.answerMs, leftMs));
        return;
      } catch (error) {
        if (!(error instanceof UnreachableError)) throw error;
        unreachable ??= error;
      }
    }
    throw unreachable ?? new UnreachableError('ENETUNREACH', 'there is nowhere to ask');
  }

  /** Ask again until the host agrees. */
  retry(): void {
    if (this.closed || this.timer !== undefined) return;
    const delay = this.retryMs * (0.5 + Math.random()); // hundreds of proxies lose the daemon at once
    this.retryMs = Math.min(this.retryMs * 2, this.times.lastRetryMs);
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.open().catch((error: unknown) => {
        this.deps.say(error instanceof Error ? error.message : String(error));
        this.retry();
      });
    }, delay);
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.socket?.destroy();
  }

  private async openAt(endpoint: ControlEndpoint, answerMs: number): Promise<void> {
    const answer = await ask(endpoint, 'POST', this.deps.ask(endpoint), answerMs);
    if (answer.status === 201) {
      this.hold(answer.socket);
      return;
    }
    answer.socket.destroy();
    const refused = refusal(endpoint, answer);
    if (!(await this.deps.isCovered(endpoint, refused))) throw refused;
  }

  private hold(socket: Socket): void {
    if (this.closed) {
      socket.destroy();
      return;
    }
    this.socket = socket;
    this.retryMs = this.times.firstRetryMs;
    const onGone = (): void => {
      socket.destroy();
      if (this.socket !== socket) return;
      this.socket = undefined;
      this.deps.say('the connection to hawser ended: publishing again');
      this.retry();
    };
    if (socket.destroyed || socket.readableEnded) onGone();
    socket.once('end', onGone);
    socket.once('close', onGone);
  }
}

const PORTS = '/v1/ports';

async function ask(
  endpoint: ControlEndpoint,
  method: 'GET' | 'POST',
  body: object | undefined,
  timeoutMs: number,
): Promise<Answer> {
  try {
    return await exchange(endpoint, method, PORTS, body, timeoutMs);
  } catch (error) {
    if (!(error instanceof UnreachableError)) throw error;
    const where = describeEndpoint(endpoint);
    throw new UnreachableError(
      error.code,
      `cannot publish: hawser does not answer at ${where}: ${error.message}; ${advice(endpoint)}`,
      { cause: error },
    );
  }
}

function advice(endpoint: ControlEndpoint): string {
  if (endpoint.carrier === 'mux')
    return 'run it with --guest-api on, and see that the agent is connected';
  if (endpoint.kind === 'unix') return 'see that it serves there, or set HAWSER_CONTROL';
  return 'run it with --guest-api on, or set HAWSER_CONTROL to its control socket';
}

/** What `/v1/ports` lists, where it may be listed. */
export async function listPorts(endpoint: ControlEndpoint): Promise<readonly object[]> {
  try {
    const answer = await ask(endpoint, 'GET', undefined, LIST_MS);
    answer.socket.destroy();
    const ports = answer.status === 200 ? member(parseJson(answer.body), 'ports') : undefined;
    return Array.isArray(ports) ? ports.filter((port) => typeof port === 'object') : [];
  } catch (error) {
    if (error instanceof UnreachableError) return [];
    throw error;
  }
}

function refusal(endpoint: ControlEndpoint, answer: Answer): RefusedError {
  const problem = parseJson(answer.body);
  const detail = member(problem, 'detail');
  const code = member(problem, 'code');
  const words =
    typeof detail === 'string' && detail !== ''
      ? detail
      : `cannot publish: ${describeEndpoint(endpoint)} answers with status ${answer.status} and is not hawser's API`;
  return new RefusedError(answer.status, typeof code === 'string' ? code : '', words);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function member(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null
    ? Object.entries(value).find(([name]) => name === key)?.[1]
    : undefined;
}
