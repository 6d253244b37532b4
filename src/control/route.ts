/** A route of the API: one table of them serves requests and generates the OpenAPI document. */
import type { Schema } from './schema.ts';

export interface Call {
  /** The last segment of a path with `{id}`, decoded; else empty. */
  readonly id: string;
  readonly query: ReadonlyMap<string, string>;
  /** The parsed JSON body, or its text where the route parses; undefined when there was none. */
  readonly body: unknown;
  /** The header `If-Match`. */
  readonly ifMatch: string | undefined;
  readonly connection: CallConnection;
  /** The header of this name: of the last event that the client has. */
  readonly lastEventId?: string | undefined;
}

/** The connection that carries a request. */
export interface CallConnection {
  /** Whether it stays open after the answer, unless the client closes it. */
  readonly staysOpen: boolean;
  /** Keep it open, without a limit of time. `onGone` is called once when it has closed, or has now. */
  hold(onGone: () => void): void;
}

/** @param signal aborted when the client has left: it ends what waits */
export type Parts = (signal: AbortSignal) => AsyncIterable<string>;

export interface Answer {
  readonly status: number;
  /** Undefined: no body. Parts are made as far as the client reads them. */
  readonly body: string | Parts | undefined;
  readonly mediaType: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** A client that does not read for so long is disconnected. Of parts; default: it may take its time. */
  readonly unreadMs?: number | undefined;
  /** Run once the answer has been written, or its client has left. */
  readonly afterwards?: () => void;
}

export interface QueryParameter {
  readonly name: string;
  readonly description: string;
  readonly schema: Readonly<Record<string, unknown>>;
}

export interface Route<T> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** May end in `/{id}`. */
  readonly path: string;
  readonly summary: string;
  readonly query: readonly QueryParameter[];
  /** Status of success. */
  readonly success: number;
  readonly mediaType: string;
  /** Of a JSON answer. */
  readonly schema: Schema<unknown> | undefined;
  /** Of the JSON object that is accepted as the body; the route checks it. */
  readonly body: Schema<unknown> | undefined;
  /** It is handed over as text: it is too long to be parsed in one turn. */
  readonly parses?: boolean | undefined;
  /** Bytes of it. */
  readonly bodyLimit?: number | undefined;
  handle(call: Call, target: T): Answer | Promise<Answer>;
}

export const JSON_TYPE = 'application/json';
export const EVENT_STREAM_TYPE = 'text/event-stream';
/** JSON objects, one a line. */
export const NDJSON_TYPE = 'application/x-ndjson';

export const json = (value: unknown, status = 200): Answer => ({
  status,
  body: `${JSON.stringify(value)}\n`,
  mediaType: JSON_TYPE,
});

/** A request to one of the APIs that are compatible with other programs' clients. */
export interface CompatRequest {
  readonly method: string;
  readonly path: string;
  readonly contentType: string | undefined;
  readonly body: Buffer;
}
