/** How many requests of each case of round trips were answered: a rate does not tell of those that were not. */
import type { Results } from '../sample.ts';

/** @returns the head, and a row for each contender; nothing where there are no requests */
export function requestRows({ contenders, samples }: Results): readonly (readonly string[])[] {
  const counted = samples.filter(({ values }) => 'sent' in values);
  const cases = [...new Set(counted.map((sample) => sample.case))];
  if (cases.length === 0) return [];
  const rows = contenders.map(({ id }) => [
    id,
    ...cases.map((name) => {
      const own = counted.filter((sample) => sample.peer === id && sample.case === name);
      const sum = (key: string): number =>
        own.reduce((total, { values }) => total + (values[key] ?? 0), 0);
      return own.length === 0 ? '–' : `${sum('answered')} of ${sum('sent')}`;
    }),
  ]);
  return [['peer@MTU', ...cases], ...rows];
}
