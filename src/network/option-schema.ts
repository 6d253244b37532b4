/**
 * Schemas of option values, and how a set of options is checked against them: each value by itself. `network-settings.ts`
 * has those of the network, the command line adds its own.
 */
import * as z from 'zod';
import type { OptionProblem } from './option-problem.ts';
import { bad, type Parsed } from './parsed.ts';

export function text<T>(parse: (value: string) => Parsed<T>): z.ZodType<T> {
  return z.unknown().transform((value, ctx): T => {
    const result = typeof value === 'string' ? parse(value) : notText(value, parse);
    if ('value' in result) return result.value;
    ctx.addIssue({ code: 'custom', message: result.problem });
    return z.NEVER;
  });
}

/** A number, which YAML takes 80 for, is mostly a text that is incomplete: the parser names its form. */
function notText(value: unknown, parse: (value: string) => Parsed<unknown>): Parsed<never> {
  const parsed = typeof value === 'number' ? parse(`${value}`) : undefined;
  return bad(parsed !== undefined && 'problem' in parsed ? parsed.problem : 'must be text');
}

/** Checked, and kept as text. */
export const textAsIs = (parse: (value: string) => Parsed<unknown>): z.ZodType<string> =>
  text((value) => {
    const result = parse(value);
    return 'problem' in result ? result : { value };
  });

export function integer(min: number, max: number): z.ZodType<number> {
  const message = `must be an integer from ${min} to ${max}`;
  return z.int(message).min(min, message).max(max, message);
}

export const oneOf = <const T extends readonly string[]>(values: T): z.ZodType<T[number]> =>
  z.enum(values, `must be one of ${values.join(', ')}`);

/** Where YAML reads a bare word as a number. */
export function numberOrOneOf<const T extends readonly string[]>(values: T): z.ZodType<T[number]> {
  return z.preprocess((value) => (typeof value === 'number' ? `${value}` : value), oneOf(values));
}

/** Of words with `on` and `off` among them, which YAML of old read as true and false. */
export function oneOfOnOff<const T extends readonly string[]>(values: T): z.ZodType<T[number]> {
  const onOffOf = (value: unknown): unknown =>
    typeof value === 'boolean' ? (value ? 'on' : 'off') : value;
  return z.preprocess(onOffOf, oneOf(values));
}

export const yesNo = (): z.ZodType<boolean> => z.boolean('must be true or false');

/** Or a number. @param what its meaning, for the message */
export const yesOr = (what: string, min: number, max: number): z.ZodType<boolean | number> =>
  z.union([z.boolean(), integer(min, max)], `must be true, false or ${what}`);

export const onOff = (): z.ZodType<boolean> =>
  z
    .union([z.boolean(), z.enum(['on', 'off'])], 'must be on or off')
    .transform((value) => value === true || value === 'on');

/** Written as for chmod. YAML reads 0660 as one of base 10, which is refused. */
export function socketMode(): z.ZodType<number> {
  const message = 'must be an octal mode of 0600 to 0777 such as "0660", in quotes in YAML';
  const digits = z.string(message).regex(/^0?[67][0-7]{2}$/, message);
  const mode = z.int(message).min(0o600, message).max(0o777, message);
  return z.union([mode, digits.transform((value) => Number.parseInt(value, 8))], message);
}

/**
 * A list, or one value alone.
 *
 * @param ifEmpty what is wrong with an empty list, where it is not allowed
 */
export function list<T>(item: z.ZodType<T>, ifEmpty?: string): z.ZodType<readonly T[]> {
  const items = ifEmpty === undefined ? z.array(item) : z.array(item).min(1, ifEmpty);
  return z.preprocess((value) => (Array.isArray(value) ? value : [value]), items);
}

/** Created when there is a value: `hawser run` starts faster without schemas of absent options. */
export type Schemas<T> = { readonly [K in keyof T]-?: () => z.ZodType<NonNullable<T[K]>> };

export type Checked<T> = { readonly settings: T } | { readonly problems: readonly OptionProblem[] };

/** Check values by key; undefined values count as absent. */
export function checkSettings<T extends object>(
  given: Readonly<Record<string, unknown>>,
  schemas: Schemas<T>,
): Checked<Partial<T>> {
  const settings: Partial<T> = {};
  const problems: OptionProblem[] = [];
  const isKnown = (key: string): key is Extract<keyof T, string> => Object.hasOwn(schemas, key);
  for (const [key, value] of Object.entries(given)) {
    if (!isKnown(key)) problems.push(unknownKey(key, Object.keys(schemas)));
    else if (value !== undefined) problems.push(...take(settings, key, value, schemas));
  }
  return problems.length === 0 ? { settings } : { problems };
}

/** @returns what is wrong with `value`; empty when it was accepted */
function take<T extends object, K extends Extract<keyof T, string>>(
  settings: Partial<T>,
  key: K,
  value: unknown,
  schemas: Schemas<T>,
): OptionProblem[] {
  if (value instanceof Promise) return [{ key, why: 'must not be a promise: await it' }];
  const result = schemas[key]().safeParse(value);
  if (!result.success) {
    return result.error.issues.map((issue) => describe(key, value, issue));
  }
  settings[key] = result.data;
  return [];
}

function describe(key: string, value: unknown, issue: z.core.$ZodIssue): OptionProblem {
  const position = issue.path[0];
  if (!Array.isArray(value) || typeof position !== 'number') {
    return { key, value, why: issue.message };
  }
  return { key, index: position, value: value[position], why: issue.message };
}

export function unknownKey(key: string, keys: readonly string[]): OptionProblem {
  const plain = key.toLowerCase().replace(/[^a-z0-9]/g, '');
  const near = keys.find((known) => known.toLowerCase() === plain);
  const why =
    near === undefined
      ? `is not a known key: allowed are ${keys.join(', ')}`
      : `is not a known key: did you mean ${near}?`;
  return { key, why };
}
