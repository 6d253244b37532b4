/** Measurements above what else runs on the machine. */
import { readFileSync, writeFileSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

/** Where sessions are scheduled as groups, the niceness of the group counts, not that of its processes. */
const AUTOGROUP = '/proc/self/autogroup';
const FIRST = -20;

/** This process and those that it starts from now on go first. As root. @returns what puts it back */
export function goFirst(): () => void {
  const own = getPriority();
  setPriority(FIRST);
  let group: string | undefined;
  try {
    group = /nice (-?\d+)/.exec(readFileSync(AUTOGROUP, 'utf8'))?.[1];
    if (group !== undefined) writeFileSync(AUTOGROUP, `${FIRST}`);
  } catch {
    group = undefined; // the kernel has no such groups
  }
  return () => {
    setPriority(own);
    if (group !== undefined) writeFileSync(AUTOGROUP, group);
  };
}
