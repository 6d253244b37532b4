/** What the kernel says of processes, in `/proc`. */
import { readdirSync, readFileSync } from 'node:fs';

/** Ticks a second in `/proc`, the same on all of Linux's usual machines. */
export const TICKS = 100;
const LISTEN = '0A';

/** A process that is gone has no text. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** The process and all below it. */
export function processTree(pid: number): readonly number[] {
  const children = read(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean);
  return [pid, ...children.flatMap((child) => processTree(Number(child)))];
}

/** Of the fields of `stat` after the name: user and system time, its own and of ended children. */
const OWN_TIMES = [11, 12] as const;
const ALL_TIMES = [11, 12, 13, 14] as const;

function seconds(pids: readonly number[], fields: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    const text = read(`/proc/${pid}/stat`);
    const values = text.slice(text.lastIndexOf(')') + 2).split(' ');
    for (const field of fields) ticks += Number(values[field] ?? 0);
  }
  return ticks / TICKS;
}

/** CPU time of these processes. */
export const cpuSeconds = (pids: readonly number[]): number => seconds(pids, OWN_TIMES);
/** The same, with that of their children that have ended. */
export const cpuSecondsOfAll = (pids: readonly number[]): number => seconds(pids, ALL_TIMES);

/** Nanoseconds that the threads of these processes have run; of those that have ended none. */
export function threadNs(pids: readonly number[]): number {
  let sum = 0;
  for (const pid of pids) {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      sum += Number(read(`/proc/${pid}/task/${thread}/schedstat`).split(' ')[0] ?? 0);
    }
  }
  return sum;
}

export interface Memory {
  readonly rssMb: number;
  readonly pssMb: number;
}

export function memoryOf(pids: readonly number[]): Memory {
  const sum = (key: string): number =>
    pids.reduce((total, pid) => {
      const found = new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(
        read(`/proc/${pid}/smaps_rollup`),
      );
      return total + Number(found?.[1] ?? 0) / 1024;
    }, 0);
  return { rssMb: sum('Rss'), pssMb: sum('Pss') };
}

/** Whether something listens on a TCP port in the network namespace of the process. */
export function listensNear(pid: number, port: number): boolean {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const pattern = new RegExp(`:${hex} [0-9A-F]+:0000 ${LISTEN} `);
  return ['tcp', 'tcp6'].some((table) => pattern.test(read(`/proc/${pid}/net/${table}`)));
}
