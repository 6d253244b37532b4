/**
 * A command line as getopt_long(3) reads it: `-m 1500`, `-m1500`, `-c6`, `--mtu 1500`, `--mtu=1500`, names cut short where
 * that leaves one, options behind operands, `--` before operands alone.
 */

export interface OptionShape {
  /** Of a long option. */
  readonly name: string;
  /** One character. */
  readonly short?: string | undefined;
  readonly takesValue: boolean;
}

export const flag = (name: string, short?: string): OptionShape => ({
  ...{ name, short },
  takesValue: false,
});
export const valued = (name: string, short?: string): OptionShape => ({
  ...{ name, short },
  takesValue: true,
});

/** One option as it was given. */
export interface GivenOption {
  readonly name: string;
  /** '' where it takes none. */
  readonly value: string;
}

export interface CommandWords {
  readonly options: readonly GivenOption[];
  readonly operands: readonly string[];
}

/** What is wrong with the command line, in getopt's words. */
export class GetoptError extends Error {
  readonly code = 'ERR_HAWSER_USAGE';
}

/** @throws GetoptError */
export function getopt(shapes: readonly OptionShape[], argv: readonly string[]): CommandWords {
  const options: GivenOption[] = [];
  const operands: string[] = [];
  const words = argv[Symbol.iterator]();
  const next = (shown: string): string => {
    const { value, done } = words.next();
    if (done === true) throw new GetoptError(`option '${shown}' requires an argument`);
    return value;
  };
  for (const word of words) {
    if (word === '--') operands.push(...words);
    else if (word.startsWith('--')) options.push(longOption(shapes, word.slice(2), next));
    else if (word.startsWith('-') && word !== '-') {
      options.push(...shortOptions(shapes, word.slice(1), next));
    } else operands.push(word);
  }
  return { options, operands };
}

function longOption(
  shapes: readonly OptionShape[],
  text: string,
  next: (shown: string) => string,
): GivenOption {
  const equals = text.indexOf('=');
  const typed = equals < 0 ? text : text.slice(0, equals);
  const { name, takesValue } = named(shapes, typed);
  if (equals >= 0 && !takesValue) {
    throw new GetoptError(`option '--${name}' doesn't allow an argument`);
  }
  if (!takesValue) return { name, value: '' };
  return { name, value: equals < 0 ? next(`--${name}`) : text.slice(equals + 1) };
}

function named(shapes: readonly OptionShape[], typed: string): OptionShape {
  const exact = shapes.find(({ name }) => name === typed);
  if (exact !== undefined) return exact;
  const longer = shapes.filter(({ name }) => name.startsWith(typed));
  const [only, ...others] = longer;
  if (only === undefined) throw new GetoptError(`unrecognized option '--${typed}'`);
  if (others.length === 0) return only;
  const names = longer.map(({ name }) => `'--${name}'`).join(' ');
  throw new GetoptError(`option '--${typed}' is ambiguous; possibilities: ${names}`);
}

function shortOptions(
  shapes: readonly OptionShape[],
  letters: string,
  next: (shown: string) => string,
): GivenOption[] {
  const options: GivenOption[] = [];
  for (let i = 0; i < letters.length; i++) {
    const letter = letters.charAt(i);
    const shape = shapes.find(({ short }) => short === letter);
    if (shape === undefined) throw new GetoptError(`invalid option -- '${letter}'`);
    const { name, takesValue } = shape;
    if (!takesValue) {
      options.push({ name, value: '' });
      continue;
    }
    const rest = letters.slice(i + 1);
    options.push({ name, value: rest === '' ? next(`-${letter}`) : rest });
    break;
  }
  return options;
}
