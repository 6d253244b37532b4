/** Log lines as Go's logrus writes them: `time="2026-11-28T02:00:00Z" level=info msg="waiting for clients..."`. */
import type { LineSink } from './line-sink.ts';

const LEVELS: Readonly<Record<string, string>> = { warn: 'warning' };
/** What stands first, under the names of the line's JSON. */
const FIRST = ['time', 'level', 'msg'];

export const logfmtSink = (sink: LineSink): LineSink => ({
  write: (line) => sink.write(logfmt(line)),
});

/** @param line of JSON */
export function logfmt(line: string): string {
  const { pid: _, ...fields }: Record<string, unknown> = JSON.parse(line);
  const level = String(fields['level'] ?? 'info');
  const shown: Record<string, unknown> = {
    ...fields,
    time: String(fields['time'] ?? '').replace(/\.\d+Z$/, 'Z'),
    level: LEVELS[level] ?? level,
  };
  const keys = [
    ...FIRST,
    ...Object.keys(fields)
      .filter((key) => !FIRST.includes(key))
      .sort(),
  ];
  const words = keys.map((key) => `${key}=${quotedOnDemand(key, shown[key])}`);
  return `${words.join(' ')}\n`;
}

function quotedOnDemand(key: string, value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  const isPlain = key !== 'time' && key !== 'msg' && /^[\w./@^+-]+$/.test(text);
  return isPlain ? text : JSON.stringify(text);
}
