/**
 * `PUT /v1/ports` of the guest API: an agent sends all ports that it wants, and then on the same connection what changes, by
 * `PATCH`, or all again; when that closes they are withdrawn. The answer says what waits, and why, as far as it fits.
 */
import * as z from 'zod';
import { once } from '../../base/once.ts';
import { formatHostSide, type PortSpec } from '../../proxy/ports/publish-spec.ts';
import { PublishSyntaxError, parsePublish } from '../../proxy/ports/publish-text.ts';
import { problem, quoted } from '../problem.ts';
import { type Answer, type Call, JSON_TYPE, json, type Route } from '../route.ts';
import type { Schema } from '../schema.ts';
import type { PortTarget } from './port-routes.ts';
import type { WantedOutcome, WantedPorts } from './wanted-ports.ts';

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

interface ChangeRequest {
  readonly add: readonly string[];
  readonly remove: readonly string[];
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

const textsSchema = once(() => z.array(z.string().max(TEXT_MAX)).max(WANTED_MAX));
const leftOutSchema = once(() =>
  z
    .int()
    .min(0)
    .max(1 << 20)
    .nullish()
    .describe('how many more are wanted than may be'),
);

const wantedRequestSchema: Schema<WantedRequest> = once(() =>
  z.strictObject({
    ports: textsSchema().describe(
      'HOSTIP:HOSTPORT:GUESTIP:GUESTPORT/PROTOCOL; all that are wanted',
    ),
    leftOut: leftOutSchema(),
  }),
);

const changeRequestSchema: Schema<ChangeRequest> = once(() =>
  z.strictObject({
    add: textsSchema().describe('HOSTIP:HOSTPORT:GUESTIP:GUESTPORT/PROTOCOL, wanted besides'),
    remove: textsSchema().describe('the same, wanted no more'),
    leftOut: leftOutSchema(),
  }),
);

const wantedAnswerSchema: Schema<WantedAnswer> = once(() =>
  z.object({
    published: z.int().nonnegative(),
    waiting: z.int().nonnegative(),
    problems: z.array(z.object({ port: z.string(), code: z.string(), detail: z.string() })),
  }),
);

const SHARED = {
  path: '/v1/ports',
  query: [],
  success: 200,
  mediaType: JSON_TYPE,
  schema: wantedAnswerSchema,
} as const;

export const WANTED_ROUTES: readonly Route<WantedTarget>[] = [
  {
    ...SHARED,
    method: 'PUT',
    summary: 'Publish exactly these ports, by the agent, until the connection closes.',
    body: wantedRequestSchema,
    bodyLimit: BODY_BYTES_MAX,
    handle: putPorts,
  },
  {
    ...SHARED,
    method: 'PATCH',
    summary:
      'Publish these ports besides those that were sent on this connection, and those no more.',
    body: changeRequestSchema,
    bodyLimit: 2 * BODY_BYTES_MAX,
    handle: patchPorts,
  },
];

async function putPorts(call: Call, target: WantedTarget): Promise<Answer> {
  const sets = setsOf(call, target);
  const { ports, leftOut } = bodyOf(call, wantedRequestSchema);
  const set = await sets(ports.length);
  const specs = await specsOf(ports);
  if (!set.isHeld) call.connection.hold(() => {});
  set.isHeld = true;
  return answerOf(await set.replace(specs, leftOut ?? 0));
}

async function patchPorts(call: Call, target: WantedTarget): Promise<Answer> {
  const sets = setsOf(call, target);
  const { add, remove, leftOut } = bodyOf(call, changeRequestSchema);
  const set = await sets(add.length + remove.length);
  if (!set.isHeld) throw problem(400, 'No ports were sent on this connection: PUT them first.');
  const [added, removed] = [await specsOf(add), await specsOf(remove)];
  set.remove(removed);
  if (set.size + added.length > WANTED_MAX) {
    throw problem(400, `There may be ${WANTED_MAX} ports in a set.`);
  }
  return answerOf(await set.add(added, leftOut ?? 0));
}

/** @throws ProblemError */
function setsOf(call: Call, { wanted }: WantedTarget): (ports: number) => Promise<WantedPorts> {
  if (wanted === undefined) {
    throw problem(403, 'Sets of ports are for the agent: publish each port by POST.');
  }
  if (!call.connection.staysOpen) {
    throw problem(400, 'The connection of the request must stay open, but it is to close.');
  }
  return wanted;
}

/** @throws ProblemError */
function bodyOf<T>(call: Call, schema: Schema<T>): T {
  const parsed = schema().safeParse(call.body ?? {});
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw problem(400, `${issue?.path.join('.')}: ${issue?.message}.`);
}

function answerOf({ published, waiting }: WantedOutcome): Answer {
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
