/**
 * What the system bounds the frames by that machines of libkrun have sent and that are unread: their number, which is read
 * when our socket is made, and their bytes, by the send buffer of 7 MiB that libkrun asks for and gets a part of.
 */
import { readFileSync } from 'node:fs';

const BOUNDS = [
  { name: 'net.unix.max_dgram_qlen', least: 128, advised: 512 },
  { name: 'net.core.wmem_max', least: 4 << 20, advised: 7 << 20 },
] as const;

/**
 * @param read the text of a file; it may throw. A bound that cannot be read is no problem: the system has none, or does
 *   not say so in this network namespace
 * @returns a sentence for each bound that a burst of a machine exceeds
 */
export function queueProblems(read: (path: string) => string = readText): readonly string[] {
  const problems: string[] = [];
  for (const { name, least, advised } of BOUNDS) {
    const value = boundOf(name, read);
    if (value >= least) continue;
    problems.push(
      `${name} is ${value}: a machine of libkrun may lose its network in a burst; raise it with \`sysctl -w ${name}=${advised}\` before the start of both`,
    );
  }
  return problems;
}

function boundOf(name: string, read: (path: string) => string): number {
  try {
    return Number(read(`/proc/sys/${name.replaceAll('.', '/')}`));
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

const readText = (path: string): string => readFileSync(path, 'latin1');
