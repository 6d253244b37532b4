/** What the machine must have for any of it. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { onPath } from '../src/lab/on-path.ts';

const PROGRAMS: Readonly<Record<string, string>> = {
  gcc: 'gcc and libc6-dev',
  iperf3: 'iperf3',
  ip: 'iproute2',
  nsenter: 'util-linux',
  sysctl: 'procps',
};

function opens(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** @returns a line for each thing that is missing */
export function missingRequirements(): readonly string[] {
  const missing = Object.entries(PROGRAMS)
    .filter(([program]) => onPath(program) === undefined)
    .map(([program, packages]) => `${program} is not on PATH (Debian: ${packages})`);
  if (process.platform !== 'linux') missing.push('Linux');
  if (process.getuid?.() !== 0) missing.push('root, for network namespaces');
  else if (spawnSync('unshare', ['-n', 'true']).status !== 0) missing.push('network namespaces');
  else if (!opens('/dev/net/tun')) missing.push('/dev/net/tun, readable and writable');
  return missing;
}
