/**
 * `PUT /v1/ports` of the guest API: an agent sends all ports that it wants, and again at each change, on one connection;
 * when that closes they are withdrawn. The answer says what waits, and why, as far as it fits.
 */
import * as z from 'zod';
import { once } from '../../base/once.ts';
import { formatHostSide, type PortSpec } from '../../proxy/ports/publish-spec.ts';
import { PublishSyntaxError, parsePublish } from '../../proxy/ports/publish-text.ts';
import { problem, quoted } from '../problem.ts';
import { type Answer, type Call, JSON_TYPE, json, type Route } from '../route.ts';
import type { Schema } from '../schema.ts';
import type { PortTarget } from './port-routes.ts';
import type { WantedPorts } from './wanted-ports.ts';

/** Of one set. */
export const WANTED_MAX = 2_048;
const TEXT_MAX = 128;
const BODY_BYTES_MAX = WANTED_MAX * TEXT_MAX;
/** Parsed in a row, before others have their turn. */
const ROW = 128;
const PROBLEMS_SHOWN = 32;

export interface WantedTarget extends PortTarget {
  /**
   * The set of the connection of this request, when its turn has come. Undefined: this client is no agent.
   *
   * @param ports that it sends
   *
   * @throws ProblemError there are too many
   */
  readonly wanted: ((ports: number) => Promise<WantedPorts>) | undefined;
}

interface WantedRequest {
  readonly ports: readonly string[];
  readonly leftOut?: number | null | undefined;
}

interface WantedAnswer {
  readonly published: number;
  readonly waiting: number;
  readonly problems: readonly {
    readonly port: string;
    readonly code: string;
    readonly detail: string;
  }[];
}

const wantedRequestSchema: Schema<WantedRequest> = once(() =>
  z.strictObject({
    ports: z
      .array(z.string().max(TEXT_MAX))
      .max(WANTED_MAX)
      .describe('HOSTIP:HOSTPORT:GUESTIP:GUESTPORT/PROTOCOL; all that are wanted'),
    leftOut: z
      .int()
      .min(0)
      .max(1 << 20)
      .nullish()
      .describe('how many more are wanted than may be'),
  }),
);

const wantedAnswerSchema: Schema<WantedAnswer> = once(() =>
  z.object({
    published: z.int().nonnegative(),
    waiting: z.int().nonnegative(),
    problems: z.array(z.object({ port: z.string(), code: z.string(), detail: z.string() })),
  }),
);

export const WANTED_ROUTE: Route<WantedTarget> = {
  method: 'PUT',
  path: '/v1/ports',
  summary: 'Publish exactly these ports, by the agent, until the connection closes.',
  query: [],
  success: 200,
  mediaType: JSON_TYPE,
  schema: wantedAnswerSchema,
  body: wantedRequestSchema,
  bodyLimit: BODY_BYTES_MAX,
  handle: putPorts,
};

async function putPorts(call: Call, { wanted }: WantedTarget): Promise<Answer> {
  if (wanted === undefined) {
    throw problem(403, 'Sets of ports are for the agent: publish each port by POST.');
  }
  if (!call.connection.staysOpen) {
    throw problem(400, 'The connection of the request must stay open, but it is to close.');
  }
  const parsed = wantedRequestSchema().safeParse(call.body ?? {});
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw problem(400, `${issue?.path.join('.')}: ${issue?.message}.`);
  }
  const { ports } = parsed.data;
  const set = await wanted(ports.length);
  const specs = await specsOf(ports);
  if (!set.isHeld) call.connection.hold(() => {});
  set.isHeld = true;
  const { published, waiting } = await set.replace(specs, parsed.data.leftOut ?? 0);
  const problems = waiting.slice(0, PROBLEMS_SHOWN).map(({ spec, problem: { code, message } }) => ({
    port: formatHostSide(spec),
    code,
    detail: message,
  }));
  return json({ published, waiting: waiting.length, problems });
}

/** @throws ProblemError 400 */
async function specsOf(texts: readonly string[]): Promise<PortSpec[]> {
  const specs: PortSpec[] = [];
  for (const text of texts) {
    if (specs.length % ROW === ROW - 1) await new Promise(setImmediate);
    specs.push(specOf(text));
  }
  return specs;
}

function specOf(text: string): PortSpec {
  try {
    const [spec, more] = parsePublish(text);
    if (spec !== undefined && more === undefined && spec.protocol !== 'unix' && spec.hostPort > 0) {
      return spec;
    }
  } catch (error) {
    if (!(error instanceof PublishSyntaxError)) throw error;
    throw problem(400, `ports: ${quoted(text)} ${error.why.slice(0, TEXT_MAX)}.`);
  }
  throw problem(400, `ports: ${quoted(text)} is not one port of each side.`);
}
