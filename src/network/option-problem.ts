/** An invalid value of an option, or an unknown key. */
export interface OptionProblem {
  readonly key: string;
  /** Into the list, when the value is one of several. */
  readonly index?: number | undefined;
  /** As it was given; absent when the key is wrong. */
  readonly value?: unknown;
  /** What is wrong, and what is allowed, as the end of a sentence that begins with the value ("must be ..."). */
  readonly why: string;
}

/** The options given to the library are wrong. */
export class OptionsError extends Error {
  readonly code = 'ERR_HAWSER_OPTIONS';
  /** A sentence for each. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.name = 'OptionsError';
    this.problems = problems;
  }
}

const LONGEST = 100;

/** @param quoted whether text is in quotes even where it is harmless on a terminal; never long */
export function printable(value: unknown, quoted: boolean): string {
  if (!quoted && typeof value === 'string' && /^[\x21-\x7e]{1,100}$/.test(value)) return value;
  return shortened(asJson(value));
}

const shortened = (text: string): string =>
  text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;

function asJson(value: unknown): string {
  if (typeof value === 'bigint' || typeof value === 'number') return String(value); // NaN is not null
  try {
    return escaped(JSON.stringify(value) ?? typeof value);
  } catch {
    return 'a structure that contains itself';
  }
}

/** What controls a terminal or reorders text; JSON escapes the first of them. */
const UNSAFE = /[\p{Cc}\p{Cf}\u2028\u2029]/gu;

const escaped = (text: string): string =>
  text.replace(UNSAFE, (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`);

/** For programs: `mtu must be an integer from 576 to 65520, got 1`. */
export function optionSentence(problem: OptionProblem): string {
  const { index, why } = problem;
  const key = shortened(escaped(problem.key));
  const where = index === undefined ? key : `${key}[${index}]`;
  return 'value' in problem
    ? `${where} ${why}, got ${printable(problem.value, true)}`
    : `${where} ${why}`;
}
