/** How messages name an option: as the user has given it, which may be on the command line of another program. */
import { type OptionProblem, printable } from '../network/option-problem.ts';
import { flagOf } from './option-table.ts';

/**
 * By the key: the words that a user has given for it, where these are of another program. Of a list, each entry's.
 */
export type GivenWords = Readonly<Record<string, string | readonly string[] | undefined>>;

/** Instead of an option: how the sandbox is left out, where it can be. */
export const SANDBOX_OFF = 'sandboxOff';

export function given(
  words: GivenWords | undefined,
  { key, index }: Pick<OptionProblem, 'key' | 'index'>,
): string | undefined {
  const text = words?.[key];
  return typeof text === 'object' ? text[index ?? 0] : text;
}

export const withValue = (
  problem: Partial<OptionProblem>,
  where: string,
  between: string,
): string => ('value' in problem ? `${where}${between}${printable(problem.value, false)}` : where);

/** @param place with the value */
export const asGiven = (
  words: GivenWords | undefined,
  place: Pick<OptionProblem, 'key' | 'index' | 'value'>,
): string => given(words, place) ?? withValue(place, flagOf(place.key), ' ');
