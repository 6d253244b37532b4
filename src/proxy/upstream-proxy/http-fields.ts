/** Fields of messages of HTTP/1 that are passed on: those for the next hop alone are not (RFC 9110 §7.6.1). */

/** Of each hop; and `Expect`, which is none of HTTP/1.0 (RFC 9110 §10.1.1). */
const OF_A_HOP: ReadonlySet<string> = new Set([
  ...['connection', 'proxy-connection', 'keep-alive', 'te', 'upgrade', 'expect'],
  ...['proxy-authenticate', 'proxy-authorization', 'proxy-authentication-info'],
]);
/** Whose loss would make another message of it, whatever `Connection` says. */
const FRAMING: ReadonlySet<string> = new Set(['content-length', 'transfer-encoding', 'host']);

export type RawFields = readonly string[];

export interface Kept {
  /** Names of the hop that are passed on nevertheless, in lower case. */
  readonly only?: readonly string[];
  /** Of answers: how they are framed is up to the server. */
  readonly withoutChunks?: boolean;
}

/** @param raw names and values by turns, as Node has them */
export function endToEnd(
  raw: RawFields,
  { only = [], withoutChunks = false }: Kept = {},
): string[] {
  const named = new Set(namedByConnection(raw));
  return fieldsOf(raw).flatMap(([name, value]) => {
    const key = name.toLowerCase();
    if (withoutChunks && key === 'transfer-encoding') return [];
    const isOfHop = OF_A_HOP.has(key) || (named.has(key) && !FRAMING.has(key));
    return isOfHop && !only.includes(key) ? [] : [name, value];
  });
}

export function fieldsOf(raw: RawFields): (readonly [name: string, value: string])[] {
  const fields: (readonly [string, string])[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) fields.push([raw[i] ?? '', raw[i + 1] ?? '']);
  return fields;
}

/** RFC 9112 §4: all but these may be in a reason phrase. */
const NOT_OF_REASON = /[^\t\x20-\x7e\x80-\xff]/g;

export const reasonOf = ({ statusMessage = '' }: Status): string =>
  statusMessage.replace(NOT_OF_REASON, '?');

interface Status {
  readonly statusCode?: number | undefined;
  readonly statusMessage?: string | undefined;
}

/** The head of an answer. */
export const headText = (status: Status, raw: RawFields): string =>
  `HTTP/1.1 ${status.statusCode} ${reasonOf(status)}\r\n${linesOf(raw)}\r\n`;

export const linesOf = (raw: RawFields): string =>
  fieldsOf(raw)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');

/** Fields that are for the next hop by its word, in lower case. */
export const namedByConnection = (raw: RawFields): readonly string[] =>
  fieldsOf(raw)
    .filter(([name]) => name.toLowerCase() === 'connection')
    .flatMap(([, value]) => value.split(',').map((one) => one.trim().toLowerCase()));
