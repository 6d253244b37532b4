/**
 * What programs without types pass to calls of the network, checked by a schema for each call. A key that is not known is a
 * problem too: of an option that is misspelt nobody would hear otherwise.
 */
import * as z from 'zod';
import { optionSentence, printable } from './option-problem.ts';
import { unknownKey } from './option-schema.ts';

/** The value as a copy of what the schema knows of it, or what is wrong with it. */
export type ReadArgument<T> =
  | { readonly value: T }
  | { readonly problems: readonly ArgumentProblem[] };

export interface ArgumentProblem {
  /** Undefined: the whole. */
  readonly key: string | undefined;
  /** A sentence of it: `port must be an integer from 1 to 65535, got 0`. */
  readonly text: string;
}

/** @param what the whole, as the start of a sentence */
export function readArgument<T>(
  schema: z.ZodType<T>,
  given: unknown,
  what = 'the options',
): ReadArgument<T> {
  if (!isRecord(given)) {
    const text = `${what} must be an object, got ${printable(given, true)}`;
    return { problems: [{ key: undefined, text }] };
  }
  const result = schema.safeParse(given);
  if (result.success) return { value: result.data };
  const keys = schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
  return { problems: result.error.issues.flatMap((issue) => describe(issue, given, keys)) };
}

export const anyText = (): z.ZodType<string> => z.string('must be a text');

/** The sentences, for an error of one call. */
export const problemText = (problems: readonly ArgumentProblem[]): string =>
  problems.map(({ text }) => text).join('; ');

/**
 * Whether options may be read of it: of a list, a Map or a Date there are none, and it would count as an object without
 * any.
 */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return isPlain(value) || Object.keys(value).length > 0;
}

/** Of this realm or another. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function describe(
  issue: z.core.$ZodIssue,
  given: unknown,
  keys: readonly string[],
): ArgumentProblem[] {
  const [top] = issue.path;
  const key = top === undefined ? undefined : String(top);
  const where = issue.path.join('.');
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((unknown) =>
      key === undefined
        ? { key: unknown, text: optionSentence(unknownKey(unknown, keys)) }
        : { key, text: optionSentence({ key: `${where}.${unknown}`, why: 'is not a known key' }) },
    );
  }
  const value = issue.path.reduce<unknown>(memberOf, given);
  return [{ key, text: optionSentence({ key: where, value, why: issue.message }) }];
}

const memberOf = (value: unknown, key: PropertyKey): unknown =>
  typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
