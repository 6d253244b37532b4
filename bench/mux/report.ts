/** The figures of all runs as Markdown: medians with spread, ratios to node:http2, and the targets. */
import { BASELINE, OURS } from './contenders.ts';
import type { Values } from './measure.ts';

export interface Results {
  readonly made: string;
  readonly machine: string;
  readonly settings: string;
  /** By contender; one entry a run. */
  readonly runs: Readonly<Record<string, readonly Values[]>>;
}

interface Metric {
  readonly key: string;
  readonly title: string;
  readonly digits: number;
}

const METRICS: readonly Metric[] = [
  { key: 'oneMBps', title: '1 channel, MB/s', digits: 0 },
  { key: 'oneCpu', title: '1 channel, CPU s/GB', digits: 2 },
  { key: 'manyMBps', title: '100 channels, MB/s', digits: 0 },
  { key: 'manyCpu', title: '100 channels, CPU s/GB', digits: 2 },
  { key: 'opens', title: 'opens/s', digits: 0 },
  { key: 'idleP50', title: 'round trip idle, p50 µs', digits: 0 },
  { key: 'idleP99', title: 'round trip idle, p99 µs', digits: 0 },
  { key: 'loadedP50', title: 'round trip beside bulk, p50 µs', digits: 0 },
  { key: 'loadedP99', title: 'round trip beside bulk, p99 µs', digits: 0 },
  { key: 'stalledTaken', title: 'stalled channel, KiB its sender got rid of', digits: 0 },
  { key: 'stalledMemory', title: 'stalled channel, KiB of memory at both ends', digits: 0 },
];

interface Target {
  readonly key: string;
  readonly title: string;
  /** Of the ratio to node:http2 where `relative`, else of the figure itself. */
  readonly limit: number;
  readonly relative: boolean;
  readonly better: 'more' | 'less';
}

/** The window that a channel starts with, and keeps while nobody reads. */
const WINDOW_KIB = 64;

const TARGETS: readonly Target[] = [
  { key: 'oneMBps', title: '1 channel, MB/s', limit: 1.3, relative: true, better: 'more' },
  { key: 'manyMBps', title: '100 channels, MB/s', limit: 1, relative: true, better: 'more' },
  { key: 'oneCpu', title: '1 channel, CPU s/GB', limit: 1, relative: true, better: 'less' },
  { key: 'manyCpu', title: '100 channels, CPU s/GB', limit: 1, relative: true, better: 'less' },
  { key: 'opens', title: 'opens/s', limit: 6000, relative: false, better: 'more' },
  {
    key: 'stalledTaken',
    title: 'stalled channel, KiB its sender got rid of',
    limit: WINDOW_KIB,
    relative: false,
    better: 'less',
  },
];

export function markdown(results: Results): string {
  const { machine, made, runs, settings } = results;
  const names = Object.keys(runs);
  const metricRows = METRICS.map(({ key, title, digits }) => [
    title,
    ...names.map((name) => cell(valuesOf(runs, name, key), digits)),
  ]);
  const others = names.filter((name) => name !== BASELINE);
  const ratioRows = METRICS.map(({ key, title }) => [
    title,
    ...others.map((name) => cell(ratios(runs, name, key), 2)),
  ]);
  const parts = [
    '# Multiplexers beside each other',
    `${made.slice(0, 10)}. ${machine}. ${settings}`,
    table(['', ...names], metricRows),
  ];
  if (names.includes(BASELINE)) {
    parts.push(`## As a ratio to ${BASELINE}, within each run`, table(['', ...others], ratioRows));
    if (names.includes(OURS)) parts.push('## Targets', targets(runs));
  }
  return `${parts.join('\n\n')}\n`;
}

function targets(runs: Results['runs']): string {
  const rows = TARGETS.map(({ better, key, limit, relative, title }) => {
    const values = relative ? ratios(runs, OURS, key) : valuesOf(runs, OURS, key);
    const found = median(values);
    const isReached = better === 'more' ? found >= limit : found <= limit;
    const asked = `${better === 'more' ? 'at least' : 'at most'} ${limit}`;
    return [
      title,
      relative ? `${asked} x ${BASELINE}` : asked,
      cell(values, relative ? 2 : 0),
      isReached ? 'reached' : 'missed',
    ];
  });
  return table(['', 'asked', OURS, ''], rows);
}

const valuesOf = (runs: Results['runs'], name: string, key: string): number[] =>
  (runs[name] ?? []).map((values) => values[key] ?? 0);

function ratios(runs: Results['runs'], name: string, key: string): number[] {
  const base = valuesOf(runs, BASELINE, key);
  return valuesOf(runs, name, key).map((value, run) => value / (base[run] ?? 0));
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

function cell(values: readonly number[], digits: number): string {
  const text = median(values).toFixed(digits);
  if (values.length < 2) return text;
  return `${text} (${Math.min(...values).toFixed(digits)}–${Math.max(...values).toFixed(digits)})`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n');
}
