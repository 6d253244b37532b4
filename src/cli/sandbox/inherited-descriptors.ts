/**
 * Descriptors that the launcher left open for us, which a second start must find as the first did. Node marks all that it
 * finds at its start to be closed when a program is started, and its own too, so that the mark says nothing.
 */
import { readdirSync, readlinkSync } from 'node:fs';

const FIRST_FD = 3;

/** @param named those that options or the environment name, whatever they are */
export function inheritedDescriptors(named: readonly number[]): number[] {
  const others = readdirSync('/proc/self/fd').map(Number).filter(isInherited);
  return [0, 1, 2, ...named, ...others];
}

/** What Node itself holds then is event queues, counters, pipes and /dev/null. */
function isInherited(fd: number): boolean {
  if (fd < FIRST_FD) return false;
  try {
    return !/^(anon_inode:|pipe:|\/dev\/null$)/.test(readlinkSync(`/proc/self/fd/${fd}`));
  } catch {
    return false; // that of the listing itself
  }
}

/** Of systemd's protocol (sd_listen_fds(3)). */
export function listenDescriptors(env: NodeJS.ProcessEnv, pid: number): number[] {
  const count = env['LISTEN_PID'] === `${pid}` ? Number(env['LISTEN_FDS']) : 0;
  return Number.isInteger(count) ? Array.from({ length: count }, (_, i) => FIRST_FD + i) : [];
}
