/** Samples to figures. */
import type { Sample } from '../sample.ts';
import type { Metric, Section } from './metrics.ts';
import { PUBLISHER } from './metrics.ts';

export interface Figure {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly count: number;
}

export function figureOf(values: readonly number[]): Figure | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  const upper = sorted[half];
  const min = sorted[0];
  const max = sorted.at(-1);
  if (upper === undefined || min === undefined || max === undefined) return undefined;
  const median = sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? upper) + upper) / 2;
  return { median, min, max, count: sorted.length };
}

/** By repetition. */
function valuesOf(samples: readonly Sample[], peer: string, metric: Metric): Map<number, number> {
  const found = new Map<number, number>();
  for (const sample of samples) {
    if (sample.peer !== peer || sample.case !== metric.case) continue;
    const value = sample.values[metric.key];
    if (sample.error === undefined && value !== undefined) found.set(sample.repetition, value);
  }
  return found;
}

export const figure = (
  samples: readonly Sample[],
  peer: string,
  metric: Metric,
): Figure | undefined => figureOf([...valuesOf(samples, peer, metric).values()]);

/** One peer's figure over another's, within each repetition. */
export function ratio(
  samples: readonly Sample[],
  peer: string,
  other: string,
  metric: Metric,
): Figure | undefined {
  const theirs = valuesOf(samples, other, metric);
  const ratios: number[] = [];
  for (const [repetition, value] of valuesOf(samples, peer, metric)) {
    const base = theirs.get(repetition);
    if (base !== undefined && base > 0) ratios.push(value / base);
  }
  return figureOf(ratios);
}

/** Whether a peer belongs into the section. */
export const isIn = (section: Section, name: string): boolean =>
  section.peers === undefined ? name !== PUBLISHER : section.peers.includes(name);

export const hasFailed = (samples: readonly Sample[], peer: string, metric: Metric): boolean =>
  samples.some(
    (sample) => sample.peer === peer && sample.case === metric.case && sample.error !== undefined,
  );
