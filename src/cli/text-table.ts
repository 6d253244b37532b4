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

/** Text chosen by a guest (its host name) must not control the terminal, nor reorder what is on it. */
export const harmless = (text: string): string =>
  text.replace(/[^\x20-\x7e\n\u00a0-\u{10ffff}]|[\p{Cf}\u2028\u2029]/gu, '?');

const GAP = 2;
/** A column is not made narrower than this to fit a terminal. */
const NARROWEST = 8;
const NARROWEST_ADDRESS = '255.255.255.255:65535'.length;
/** Columns are left out so that addresses have this much, not more. */
const ENOUGH_FOR_ADDRESS = '[fd80:cdac:…08:469c]:65535'.length;

/** A column, or its title alone. */
export interface Column {
  readonly title: string;
  /** On a narrow terminal columns with the lowest number are left out first; absent: never. */
  readonly leftOut?: number;
  /** Never cut. */
  readonly isWhole?: true;
  /** Sentences: broken between words, not cut. */
  readonly isText?: true;
  /** With a port, maybe. One of IPv4 is never cut, one of IPv6 in the middle: both its ends distinguish it from others. */
  readonly isAddress?: true;
  /** A shorter form of the cells, for a terminal that the table does not fit. */
  readonly brief?: (cell: string) => string;
}

type Rows = readonly (readonly string[])[];

/**
 * @param head without titles for a table without a heading
 * @param width of the terminal that it must fit, by leaving out columns and cutting the widest cells; undefined for no
 * limit
 */
export function table(
  head: readonly (string | Column)[],
  rows: Rows,
  width: number | undefined = process.stdout.isTTY ? process.stdout.columns : undefined,
): string {
  const columns = head.map((one) => (typeof one === 'string' ? { title: one } : one));
  const fitted =
    width === undefined ? { columns, rows, widths: undefined } : fit(columns, rows, width);
  const titles = fitted.columns.map(({ title }) => title.toUpperCase());
  const made = new Table({
    head: titles.every((title) => title === '') ? [] : titles,
    chars: NO_LINES,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  const cell = (text: string, i: number): string => {
    const shorten = shortenerOf(fitted.columns[i]);
    const width = fitted.widths?.[i] ?? Number.POSITIVE_INFINITY;
    const lines = harmless(text).split('\n');
    return lines.map((line) => (line.length <= width ? line : shorten(line, width))).join('\n');
  };
  for (const row of fitted.rows) made.push(row.map(cell));
  const lines = made.toString().split('\n');
  return `${lines.map((line) => line.trimEnd()).join('\n')}\n`;
}

interface Fitted {
  readonly columns: readonly Column[];
  readonly rows: Rows;
  readonly widths: readonly number[];
}

function fit(columns: readonly Column[], rows: Rows, width: number): Fitted {
  const widths = widthsOf(columns, rows);
  if (total(widths) <= width) return { columns, rows, widths };
  if (columns.some(({ brief }) => brief !== undefined)) {
    const shorter = rows.map((row) => row.map((text, i) => columns[i]?.brief?.(text) ?? text));
    return fit(
      columns.map(({ brief: _, ...column }) => column),
      shorter,
      width,
    );
  }
  const gone = firstLeftOut(columns);
  const wanted = widths.map((one, i) =>
    columns[i]?.isAddress ? Math.min(one, ENOUGH_FOR_ADDRESS) : one,
  );
  if (total(wanted) > width && gone >= 0)
    return fit(
      columns.toSpliced(gone, 1),
      rows.map((row) => row.toSpliced(gone, 1)),
      width,
    );
  const room = (i: number): number => Math.max((widths[i] ?? 0) - narrowest(columns[i]), 0);
  while (total(widths) > width) {
    const widest = widths.reduce((best, _, i) => (room(i) > room(best) ? i : best), 0);
    if (room(widest) === 0) break; // the terminal wraps it
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return { columns, rows, widths };
}

/** -1: none may be. */
function firstLeftOut(columns: readonly Column[]): number {
  const least = Math.min(...columns.map(({ leftOut = Number.POSITIVE_INFINITY }) => leftOut));
  return columns.findIndex(({ leftOut }) => leftOut === least);
}

function narrowest(column: Column | undefined): number {
  if (column?.isWhole) return Number.POSITIVE_INFINITY;
  return column?.isAddress ? NARROWEST_ADDRESS : NARROWEST;
}

function widthsOf(columns: readonly Column[], rows: Rows): number[] {
  const widths: number[] = [];
  for (const row of [columns.map(({ title }) => title), ...rows]) {
    for (const [i, text] of row.entries()) {
      const widest = Math.max(...text.split('\n').map((line) => line.length));
      widths[i] = Math.max(widths[i] ?? 0, widest);
    }
  }
  return widths;
}

const total = (widths: readonly number[]): number =>
  widths.reduce((sum, width) => sum + width + GAP, -GAP);

const shortenerOf = (column: Column | undefined): ((line: string, width: number) => string) => {
  if (column?.isText) return breakBetweenWords;
  return column?.isAddress ? cutMiddle : cutEnd;
};

/** A word that is longer is left to the terminal. */
function breakBetweenWords(text: string, width: number): string {
  let lines = '';
  let line = '';
  for (const word of text.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (line === '' || longer.length <= width) line = longer;
    else {
      lines += `${line}\n`;
      line = word;
    }
  }
  return lines + line;
}

const cutEnd = (line: string, width: number): string => `${line.slice(0, Math.max(width - 1, 0))}…`;

function cutMiddle(line: string, width: number): string {
  const kept = Math.max(width - 1, 0);
  const head = Math.floor(kept / 2);
  return `${line.slice(0, head)}…${line.slice(line.length - (kept - head))}`;
}

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
