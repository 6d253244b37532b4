/** The routes of the policy: where guests may go. */
import * as z from 'zod';
import { once } from '../base/once.ts';
import {
  approvalSchema,
  policyDenialsSchema,
  policyStateSchema,
  policySuggestionSchema,
  policyVerdictSchema,
} from './policy-schema.ts';
import { tagOf } from './policy-tag.ts';
import {
  type PolicyBook,
  PolicyConflict,
  PolicyError,
  type PolicyStateView,
} from './policy-view.ts';
import { problem, quoted } from './problem.ts';
import { type Answer, type Call, JSON_TYPE, json, type Route } from './route.ts';
import type { Schema } from './schema.ts';

const BODY_MAX = 8 * 1024 * 1024;

const anyDocument: Schema<object> = once(() => z.record(z.string(), z.unknown()));

export interface PolicyTarget {
  readonly view: { readonly policy: PolicyBook };
}

async function put({ body, ifMatch }: Call, { view }: PolicyTarget): Promise<Answer> {
  const { policy } = view;
  if (typeof body !== 'string') throw problem(400, 'The body must be a policy document.');
  return answerOf(await orProblem(() => policy.replaceText(body, isMeant(ifMatch))));
}

/** RFC 9110 §13.1.1: any, or one of a list; there are no commas in our tags. */
function isMeant(ifMatch: string | undefined): (now: PolicyStateView) => boolean {
  const tags = ifMatch?.split(',').map((tag) => tag.trim());
  return (now) => tags === undefined || tags.includes('*') || tags.includes(tagOf(now));
}

async function test({ query }: Call, { view }: PolicyTarget): Promise<Answer> {
  const [guest = '', destination = ''] = [query.get('guest'), query.get('destination')];
  const protocol = query.get('protocol') ?? 'tcp';
  if (protocol !== 'tcp' && protocol !== 'udp' && protocol !== 'icmp') {
    throw problem(400, `protocol=${quoted(protocol)}: must be tcp, udp or icmp.`);
  }
  const probe = { guest, destination, protocol } as const;
  return json(await orProblem(() => view.policy.test(probe)));
}

async function approve({ id, body }: Call, { view }: PolicyTarget): Promise<Answer> {
  const scope = approvalSchema().safeParse(body ?? {});
  if (!scope.success) throw problem(400, `The body is no scope: ${z.prettifyError(scope.error)}`);
  return answerOf(await orProblem(() => view.policy.approve(id, scope.data)));
}

async function orProblem<T>(act: () => T | Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof PolicyConflict) throw problem(412, error.message);
    if (error instanceof PolicyError) throw problem(400, error.message);
    throw error;
  }
}

/** Rules, or warnings, in one part of an answer. */
const PART_ELEMENTS = 200;
/** Of the answer's reader. */
const UNREAD_MS = 30_000;

function answerOf(state: PolicyStateView): Answer {
  const headers = { etag: tagOf(state) };
  const rules: unknown = state.document?.['rules'];
  if (!Array.isArray(rules) || rules.length <= PART_ELEMENTS) return { ...json(state), headers };
  const body = () => partsOf(state, rules);
  return { status: 200, body, mediaType: JSON_TYPE, headers, unreadMs: UNREAD_MS };
}

/** The JSON text of a state, a part in each turn of the event loop. */
async function* partsOf(
  { generation, hash, document, warnings }: PolicyStateView,
  rules: readonly unknown[],
): AsyncGenerator<string, void> {
  const { rules: _, ...head } = document ?? {};
  const start = JSON.stringify({ generation, hash, document: { ...head, rules: [] } });
  yield start.slice(0, -']}}'.length);
  yield* elementsOf(rules);
  yield ']},"warnings":[';
  yield* elementsOf(warnings);
  yield ']}\n';
}

async function* elementsOf(list: readonly unknown[]): AsyncGenerator<string, void> {
  for (let at = 0; at < list.length; at += PART_ELEMENTS) {
    const part = JSON.stringify(list.slice(at, at + PART_ELEMENTS)).slice(1, -1);
    yield at === 0 ? part : `,${part}`;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

export const POLICY_ROUTES: readonly Route<PolicyTarget>[] = [
  {
    method: 'GET',
    path: '/v1/policy',
    summary: 'The policy in force: where guests may go.',
    query: [],
    success: 200,
    mediaType: JSON_TYPE,
    schema: policyStateSchema,
    body: undefined,
    handle: (_call, { view }) => answerOf(view.policy.state()),
  },
  {
    method: 'PUT',
    path: '/v1/policy',
    summary:
      'Replace the policy, all of it. It is in force once this is answered, for open flows as well. `If-Match` with the ETag of a GET refuses to replace another.',
    query: [],
    success: 200,
    mediaType: JSON_TYPE,
    schema: policyStateSchema,
    body: anyDocument,
    parses: true,
    bodyLimit: BODY_MAX,
    handle: put,
  },
  {
    method: 'DELETE',
    path: '/v1/policy',
    summary: 'Take the policy away: guests may go where they like. `If-Match` as for PUT.',
    query: [],
    success: 200,
    mediaType: JSON_TYPE,
    schema: policyStateSchema,
    body: undefined,
    handle: async ({ ifMatch }, { view }) =>
      answerOf(await orProblem(() => view.policy.clear(isMeant(ifMatch)))),
  },
  {
    method: 'GET',
    path: '/v1/policy/test',
    summary: 'What the policy decides about a flow, by what enforces it.',
    query: [
      {
        name: 'guest',
        description: 'A link, a static lease’s name, or the address of a guest. Default: any.',
        schema: { type: 'string' },
      },
      {
        name: 'destination',
        description: '`NAME:PORT`, `IP:PORT`, `[IPV6]:PORT`; without a port for icmp.',
        schema: { type: 'string' },
      },
      { name: 'protocol', description: 'Default: tcp.', schema: { enum: ['tcp', 'udp', 'icmp'] } },
    ],
    success: 200,
    mediaType: JSON_TYPE,
    schema: policyVerdictSchema,
    body: undefined,
    handle: test,
  },
  {
    method: 'GET',
    path: '/v1/policy/denials',
    summary:
      'What guests have tried in vain, or would have where the policy observes: how often, when first and last, and why. Those of the last attempts at the end.',
    query: [],
    success: 200,
    mediaType: JSON_TYPE,
    schema: policyDenialsSchema,
    body: undefined,
    handle: (_call, { view }) => json({ denials: view.policy.denials() }),
  },
  {
    method: 'POST',
    path: '/v1/policy/denials/{id}',
    summary:
      'Allow what was denied, in front of all other rules: the same name (in the neighbourhood: the address), port and protocol to the same guest, unless the body says otherwise. Gone after a restart.',
    query: [],
    success: 200,
    mediaType: JSON_TYPE,
    schema: policyStateSchema,
    body: approvalSchema,
    handle: approve,
  },
  {
    method: 'GET',
    path: '/v1/policy/suggestion',
    summary:
      'A policy for what guests do: by the flows that are open, and by what a policy that observes would have denied.',
    query: [
      {
        name: 'guest',
        description: 'A link, a static lease’s name, or the address of a guest. Default: all.',
        schema: { type: 'string' },
      },
    ],
    success: 200,
    mediaType: JSON_TYPE,
    schema: policySuggestionSchema,
    body: undefined,
    handle: async ({ query }, { view }) =>
      json(await orProblem(() => view.policy.suggest(query.get('guest') ?? ''))),
  },
];
