/** Tables and figures for terminals. */
import Table from 'cli-table3';

const NO_LINES = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
};

/** Text chosen by a guest (its host name) must not control the terminal. */
const harmless = (text: string): string => text.replace(/[^\x20-\x7e\n\u00a0-\u{10ffff}]/gu, '?');

const GAP = 2;
/** A column is not made narrower than this to fit a terminal. */
const NARROWEST = 8;

/**
 * @param head empty for a table without a heading
 * @param columns of the terminal that it must fit, by cutting the widest cells; undefined for no limit
 */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  columns: number | undefined = process.stdout.isTTY ? process.stdout.columns : undefined,
): string {
  const widths = columns === undefined ? undefined : fittingWidths([head, ...rows], columns);
  const made = new Table({
    head: head.map((cell) => cell.toUpperCase()),
    chars: NO_LINES,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  const cell = (text: string, i: number): string => cut(harmless(text), widths?.[i]);
  for (const row of rows) made.push(row.map(cell));
  const lines = made.toString().split('\n');
  return `${lines.map((line) => line.trimEnd()).join('\n')}\n`;
}

function fittingWidths(rows: readonly (readonly string[])[], columns: number): number[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [i, text] of row.entries()) {
      const widest = Math.max(...text.split('\n').map((line) => line.length));
      widths[i] = Math.max(widths[i] ?? 0, widest);
    }
  }
  const total = (): number => widths.reduce((sum, width) => sum + width + GAP, -GAP);
  while (total() > columns) {
    const widest = Math.max(...widths);
    if (widest <= NARROWEST) break; // the terminal wraps it
    widths[widths.indexOf(widest)] = widest - 1;
  }
  return widths;
}

const cut = (text: string, width: number = Number.POSITIVE_INFINITY): string =>
  text
    .split('\n')
    .map((line) => (line.length <= width ? line : `${line.slice(0, Math.max(width - 1, 0))}…`))
    .join('\n');

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1_024 && unit < UNITS.length - 1) {
    value /= 1_024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}

export function formatDuration(ms: number): string {
  const s = Math.floor(ms / 1_000);
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (s < 60) return `${s} s`;
  if (s < 3_600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86_400) return `${Math.floor(s / 3_600)} h ${Math.floor((s % 3_600) / 60)} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3_600)} h`;
}
