/** What the kernel says of the rights of a process's threads (proc_pid_status(5)). */
import { readdirSync, readFileSync } from 'node:fs';

export interface ThreadStatus {
  readonly name: string;
  /** Effective, or to be had: bits. */
  readonly capabilities: bigint;
  readonly noNewPrivileges: boolean;
  /** How many filters of system calls. */
  readonly filters: number;
}

/** Of each thread of a process. */
export function threadStatuses(pid: number | 'self' = 'self'): ThreadStatus[] {
  const dir = `/proc/${pid}/task`;
  return readdirSync(dir).flatMap((tid) => {
    try {
      return [parseStatus(readFileSync(`${dir}/${tid}/status`, 'latin1'))];
    } catch {
      return []; // it has ended
    }
  });
}

export function parseStatus(text: string): ThreadStatus {
  const field = (name: string): string =>
    new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(text)?.[1] ?? '';
  const set = (name: string): bigint => BigInt(`0x${field(name) || '0'}`);
  return {
    name: field('Name'),
    capabilities: set('CapEff') | set('CapPrm'),
    noNewPrivileges: field('NoNewPrivs') === '1',
    filters: Number(field('Seccomp_filters') || field('Seccomp')),
  };
}
