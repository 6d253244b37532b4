/** What a command line of getopt's kind asks for, and what is wrong with it: the same for each program that has one. */
import { type CommandWords, GetoptError, getopt, type OptionShape } from './getopt.ts';

export type Command<R> =
  | { readonly kind: 'run'; readonly request: R }
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | { readonly kind: 'bad'; readonly problem: string };

/** A value is not what its option takes. */
export class BadArguments extends Error {}

/**
 * @param shapes with the options `help` and `version`, which go before all others
 * @param requestOf may throw BadArguments
 */
export function readCommand<R>(
  shapes: readonly OptionShape[],
  argv: readonly string[],
  requestOf: (words: CommandWords) => R,
): Command<R> {
  try {
    const words = getopt(shapes, argv);
    const asked = words.options.find(({ name }) => name === 'help' || name === 'version')?.name;
    if (asked === 'help' || asked === 'version') return { kind: asked };
    return { kind: 'run', request: requestOf(words) };
  } catch (error) {
    if (error instanceof GetoptError || error instanceof BadArguments) {
      return { kind: 'bad', problem: error.message };
    }
    throw error;
  }
}

/** @throws BadArguments */
export function integerOf(what: string, text: string, min: number, max: number): number {
  const value = /^\d{1,7}$/.test(text) ? Number(text) : -1;
  if (value >= min && value <= max) return value;
  throw new BadArguments(`${what} ${text}: must be an integer from ${min} to ${max}`);
}

/** @throws BadArguments */
export function macOf(what: string, text: string): string {
  if (/^[\da-f]{1,2}(:[\da-f]{1,2}){5}$/i.test(text)) return text.toLowerCase();
  throw new BadArguments(`${what} ${text}: must be six bytes: 52:54:00:12:34:56`);
}

/** An address, or the name of an interface. @throws BadArguments */
export function outboundOf(
  name: string,
  text: string | undefined,
  isAddress: (text: string) => boolean,
): string | undefined {
  if (text === undefined || isAddress(text) || /^[^/:\s]{1,15}$/.test(text)) return text;
  throw new BadArguments(`--${name} ${text}: must be an address or the name of an interface`);
}
