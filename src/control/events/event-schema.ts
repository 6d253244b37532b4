/** The events of the API: one definition for the OpenAPI document and for the client's check. */
import * as z from 'zod';
import { once } from '../../base/once.ts';
import { VERDICT_KINDS } from '../../proxy/flows/verdict.ts';
import {
  blockSchema,
  conflictSchema,
  flowSchema,
  guestSchema,
  leaseSchema,
  portSchema,
  type Schema,
  verdictSchema,
} from '../schema.ts';
import type { EventType, StreamEvent } from './network-events.ts';

const text = z.string();
const count = z.int().nonnegative();
const heading = { id: text, at: text };
const of = <K extends EventType, S extends z.ZodRawShape>(type: K, shape: S) =>
  z.object({ ...heading, type: z.literal(type), ...shape });

export const eventSchema: Schema<StreamEvent> = once(() =>
  z.discriminatedUnion('type', [
    of('guest', { kind: z.enum(['attached', 'detached']), guest: guestSchema() }),
    of('lease', { kind: z.enum(['granted', 'renewed', 'released']), lease: leaseSchema() }),
    of('port', { kind: z.enum(['published', 'withdrawn']), port: portSchema() }),
    of('flow', { kind: z.enum(['opened', 'ended']), flow: flowSchema(), why: text.nullable() }),
    of('block', { kind: z.enum(['blocked', 'observed']), block: blockSchema() }),
    of('verdict', {
      kind: z.enum(VERDICT_KINDS),
      verdict: verdictSchema(),
      count: z.int().positive(),
    }),
    of('mux', {
      kind: z.enum(['up', 'down']),
      mux: z.object({
        link: text,
        peer: count,
        dialect: z.enum(['hawser', 'vpnkit']),
        guestId: count.nullable(),
      }),
      why: text.nullable(),
    }),
    of('limit', {
      kind: z.literal('hit'),
      limit: z.object({ name: text, whole: count, held: count, refused: count, evicted: count }),
    }),
    of('conflict', { kind: z.literal('begun'), conflict: conflictSchema() }),
    of('dns', {
      kind: z.literal('answered'),
      query: z.object({
        guestId: count,
        guestName: text.nullable(),
        guestMac: text.nullable(),
        name: text,
        type: text,
        rcode: text,
        verdict: z.enum(['allowed', 'denied']),
        addresses: z.array(text),
        answers: count,
        source: z.enum(['local', 'hook', 'cache', 'upstream']).nullable(),
        upstream: text.nullable(),
        durationMs: z.number().nonnegative(),
      }),
    }),
    z.object({
      ...heading,
      type: z.literal('gap'),
      why: z.enum(['overrun', 'idle', 'restarted']),
      events: count.nullable(),
    }),
  ]),
);

export const eventsSchema: Schema<{ readonly events: readonly StreamEvent[] }> = once(() =>
  z.object({ events: z.array(eventSchema()) }),
);
