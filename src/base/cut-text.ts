/** Texts of guests in log lines: names, paths and reasons, cut to a length. */

export const TEXT_MAX = 256;
/** Of nested fields, and of the items of a list. */
const DEPTH_MAX = 3;
const ITEMS_MAX = 64;

export const cutText = (text: string, max: number = TEXT_MAX): string =>
  text.length <= max ? text : `${text.slice(0, max)}... (${text.length} characters)`;

/** @returns `fields` itself where nothing is cut */
export function cutFields(fields: object): object {
  return isShort(fields, DEPTH_MAX) ? fields : Object.fromEntries(entriesOf(fields, DEPTH_MAX));
}

function isShort(value: unknown, depth: number): boolean {
  if (typeof value === 'string') return value.length <= TEXT_MAX;
  if (value instanceof Error) return isShortError(value, depth);
  if (typeof value !== 'object' || value === null) return true;
  const values: unknown[] = Object.values(value);
  if (values.length === 0) return true;
  return depth > 0 && values.length <= ITEMS_MAX && values.every((v) => isShort(v, depth - 1));
}

const isShortError = (error: Error, depth: number): boolean =>
  error.message.length <= TEXT_MAX &&
  (error.cause === undefined || (depth > 0 && isShort(error.cause, depth - 1)));

function entriesOf(value: object, depth: number): [string, unknown][] {
  return Object.entries(value)
    .slice(0, ITEMS_MAX)
    .map(([name, item]) => [cutText(name), cutValue(item, depth - 1)]);
}

function cutValue(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return cutText(value);
  if (isShort(value, depth)) return value;
  if (value instanceof Error) return cutError(value);
  if (typeof value !== 'object' || value === null) return value;
  if (depth <= 0) return '...';
  if (Array.isArray(value)) return value.slice(0, ITEMS_MAX).map((v) => cutValue(v, depth - 1));
  return Object.fromEntries(entriesOf(value, depth));
}

/** The stack begins with the message. */
function cutError(error: Error): object {
  const stack = error.stack?.replace(error.message, cutText(error.message));
  const code: unknown = Reflect.get(error, 'code');
  return { type: error.name, message: cutText(error.message), code, stack };
}
