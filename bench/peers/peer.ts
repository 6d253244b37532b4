/** What can be measured: one program that gives a guest its network. */
import { execFileSync } from 'node:child_process';
import type { Lab } from '../rig/lab.ts';
import type { Running } from '../rig/running.ts';

export interface Peer {
  readonly name: string;
  /** One of hawser's own links: compared with the others. */
  readonly ours: boolean;
  /** The only MTU that it works with; undefined: any. */
  readonly onlyMtu?: number;
  /** Why it cannot be measured on this machine. */
  missing(): string | undefined;
  /** Names the program too; empty when it has no version. */
  version(): string;
  /** @returns once the guest is attached and configured; bytes may not flow yet */
  start(lab: Lab, mtu: number): Promise<Started>;
}

export interface Started {
  /** Whose CPU time and memory count; none where only kernels are measured. */
  readonly daemons: readonly Running[];
  /** Address at which the guest reaches servers on the host's loopback; undefined: it does not. */
  readonly toHost: string | undefined;
  /** Address at which the host reaches servers of the guest. */
  readonly toGuest: string;
  /** Publish the guest's ports, where that was not an option at the start. */
  publish?(): Promise<void>;
}

/** One peer and one guest that have both families: what goes over each is comparable. */
export interface BothFamilies {
  readonly v4: Started;
  readonly v6: Started;
}

/** The first line of what a program answers when asked for its version. */
export function versionOf(program: string, ...args: readonly string[]): string {
  try {
    const text = execFileSync(program, args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return text.split('\n')[0]?.trim() ?? '';
  } catch {
    return '';
  }
}
