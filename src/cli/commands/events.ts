/** `hawser events`: what has happened, or with `--follow` what happens. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiClientError } from '../../control/client.ts';
import { plainJson } from '../../control/events/event-ring.ts';
import { eventSchema, eventsSchema } from '../../control/events/event-schema.ts';
import type { StreamEvent } from '../../control/events/network-events.ts';
import { RunError } from '../../network/errors.ts';
import { eventText } from './event-text.ts';
import { type FlowsFilter, filterQuery } from './flows.ts';
import { clientOf, type InspectRequest } from './inspect.ts';

export interface EventsRequest extends InspectRequest {
  readonly filter: FlowsFilter;
  /** With commas; undefined: the daemon's choice. */
  readonly types: string | undefined;
  /** The id of the last event that is known. */
  readonly after: string | undefined;
}

/** Before a stream that has ended is resumed. */
const RESUME_MS = 200;

function pathOf({ filter, types }: EventsRequest, more: Readonly<Record<string, string>>): string {
  const query = filterQuery(filter);
  if (types !== undefined) query.set('types', types);
  for (const [key, value] of Object.entries(more)) query.set(key, value);
  return `/v1/events?${query}`;
}

const lineOf = ({ json }: InspectRequest, event: StreamEvent): string =>
  json ? `${plainJson(event)}\n` : eventText(event);

/** @returns what to print */
export async function eventsCommand(request: EventsRequest): Promise<string> {
  const { after } = request;
  const path = pathOf(request, { follow: 'false', ...(after === undefined ? {} : { after }) });
  const { events } = await clientOf(request).get(path, eventsSchema);
  return events.map((event) => lineOf(request, event)).join('');
}

/** Prints until the daemon ends. A stream that ends before is resumed. */
export async function followEvents(
  request: EventsRequest,
  print: (text: string) => void,
): Promise<void> {
  const client = clientOf(request);
  let { after } = request;
  for (let isFirst = true; ; isFirst = false) {
    const path = pathOf(request, after === undefined ? {} : { after });
    try {
      for await (const event of client.events(path, eventSchema)) {
        after = event.id;
        print(lineOf(request, event));
      }
    } catch (error) {
      const isAnswer = error instanceof ApiClientError && error.status !== 0;
      if (isFirst || isAnswer) throw error;
      throw new RunError('the daemon has ended', { cause: error });
    }
    await sleep(RESUME_MS);
  }
}
