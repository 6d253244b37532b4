/** A client of the control API, for the commands. One request, one connection. */
import { type IncomingMessage, request } from 'node:http';
import { createInterface } from 'node:readline';
import { problemSchema, type Schema } from './schema.ts';

const TIMEOUT_MS = 10_000;
/** Before the data of a server-sent event. */
const DATA = 'data: ';
const ANSWER_LIMIT = 64 * 1024 * 1024;

type Headers = Readonly<Record<string, string>>;

export type ApiEndpoint =
  | { readonly kind: 'unix'; readonly path: string }
  | {
      readonly kind: 'tcp';
      readonly address: string;
      readonly port: number;
      readonly token: string;
    };

/** The daemon could not be reached, refused the request, or sent an unexpected answer. */
export class ApiClientError extends Error {
  readonly code = 'ERR_HAWSER_API_CLIENT';
  /** The HTTP status; 0 when there was no answer. */
  readonly status: number;
  /** What was wrong with the request, as the daemon says it. */
  readonly detail: string | undefined;

  constructor(message: string, status: number, cause?: unknown, detail?: string) {
    super(message, { cause });
    this.status = status;
    this.detail = detail;
  }
}

const nameOf = (endpoint: ApiEndpoint): string =>
  endpoint.kind === 'unix' ? endpoint.path : `${endpoint.address} port ${endpoint.port}`;

export class ApiClient {
  private readonly endpoint: ApiEndpoint;

  constructor(endpoint: ApiEndpoint) {
    this.endpoint = endpoint;
  }

  get<T>(path: string, schema: Schema<T>): Promise<T> {
    return this.call('GET', path, schema);
  }

  /** @param body a JSON object; none by default */
  post<T>(path: string, schema: Schema<T>, body?: object): Promise<T> {
    return this.call('POST', path, schema, body);
  }

  /**
   * @param body a JSON object
   * @param tag of what is replaced, and must be there still
   */
  put<T>(path: string, schema: Schema<T>, body: object, tag?: string): Promise<T> {
    return this.call('PUT', path, schema, body, tag === undefined ? {} : { 'if-match': tag });
  }

  async delete(path: string): Promise<void> {
    await this.exchange('DELETE', path);
  }

  /** An answer that goes on: each line, until the daemon ends it. */
  async *lines<T>(path: string, schema: Schema<T>): AsyncGenerator<T, void> {
    for await (const line of this.textLines(path)) yield this.checked(path, line, schema);
  }

  /** Server-sent events, each with its data on one line, until the daemon ends them. */
  async *events<T>(path: string, schema: Schema<T>): AsyncGenerator<T, void> {
    for await (const line of this.textLines(path)) {
      if (line.startsWith(DATA)) yield this.checked(path, line.slice(DATA.length), schema);
    }
  }

  private async *textLines(path: string): AsyncGenerator<string, void> {
    const response = await this.open('GET', path, undefined, false).catch((error: unknown) => {
      throw this.unreached(error);
    });
    if (response.statusCode !== 200) {
      throw refusedBy(response.statusCode ?? 0, await readText(response));
    }
    response.on('error', () => {}); // the daemon has ended: so have the lines
    try {
      for await (const line of createInterface({ input: response, crlfDelay: Infinity })) {
        yield line;
      }
    } finally {
      response.destroy();
    }
  }

  private async call<T>(
    method: string,
    path: string,
    schema: Schema<T>,
    body?: object,
    headers: Headers = {},
  ): Promise<T> {
    return this.checked(path, await this.exchange(method, path, body, headers), schema);
  }

  private checked<T>(path: string, text: string, schema: Schema<T>): T {
    const parsed = schema().safeParse(parseJson(text));
    if (parsed.success) return parsed.data;
    throw new ApiClientError(
      `${nameOf(this.endpoint)} answered ${path} with something that this version of hawser does not know: is the daemon of another version?`,
      200,
      parsed.error,
    );
  }

  private async exchange(
    method: string,
    path: string,
    body?: object,
    headers: Headers = {},
  ): Promise<string> {
    const { status, text } = await this.send(method, path, body, headers).catch(
      (error: unknown) => {
        throw this.unreached(error);
      },
    );
    if (status >= 200 && status < 300) return text;
    throw refusedBy(status, text);
  }

  private async send(
    method: string,
    path: string,
    body: object | undefined,
    headers: Headers,
  ): Promise<{ status: number; text: string }> {
    const response = await this.open(method, path, body, true, headers);
    return { status: response.statusCode ?? 0, text: await readText(response) };
  }

  /** @param isTimed whether a silence ends it */
  private open(
    method: string,
    path: string,
    body: object | undefined,
    isTimed: boolean,
    headers: Headers = {},
  ): Promise<IncomingMessage> {
    const { endpoint } = this;
    const where =
      endpoint.kind === 'unix'
        ? { socketPath: endpoint.path, headers: { host: 'hawser' } }
        : {
            host: endpoint.address,
            port: endpoint.port,
            headers: { authorization: `Bearer ${endpoint.token}` },
          };
    return new Promise((resolve, reject) => {
      const outgoing = request({ method, path, agent: false, ...where }, (response) => {
        if (!isTimed) outgoing.setTimeout(0);
        resolve(response);
      });
      outgoing.setTimeout(TIMEOUT_MS, () => {
        outgoing.destroy(new Error(`no answer within ${TIMEOUT_MS / 1_000} s`));
      });
      outgoing.on('error', reject);
      for (const [name, value] of Object.entries(headers)) outgoing.setHeader(name, value);
      if (body === undefined) {
        outgoing.end();
        return;
      }
      outgoing.setHeader('content-type', 'application/json');
      outgoing.end(JSON.stringify(body));
    });
  }

  private unreached(error: unknown): ApiClientError {
    const code = error instanceof Error && 'code' in error ? error.code : '';
    const why =
      code === 'ENOENT' || code === 'ECONNREFUSED'
        ? 'no daemon answers there; start "hawser run", or name another with --name or --api'
        : error instanceof Error
          ? error.message
          : String(error);
    return new ApiClientError(`cannot reach hawser at ${nameOf(this.endpoint)}: ${why}`, 0, error);
  }
}

function refusedBy(status: number, text: string): ApiClientError {
  const detail = problemSchema().safeParse(parseJson(text));
  const why = detail.success ? detail.data.detail : text.slice(0, 200);
  return new ApiClientError(`the daemon refused (${status}): ${why}`, status, undefined, why);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let total = 0;
  for await (const chunk of response) {
    const bytes = Buffer.from(chunk);
    total += bytes.length;
    if (total > ANSWER_LIMIT) throw new Error(`the answer is larger than ${ANSWER_LIMIT} bytes`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString('utf8');
}
