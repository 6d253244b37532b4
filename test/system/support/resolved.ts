/** systemd-resolved, which `.ci/resolved` unpacks, in a network namespace: its mounts, processes and users are its own. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findResolved } from './find-resolved.ts';
import type { Lab, Namespace } from './lab.ts';
import type { Background } from './processes.ts';
import { until } from './until.ts';

export const STUB = '127.0.0.53';

/**
 * @param settings of resolved.conf(5)
 * @param links what it has kept of links from a start before, by their index
 */
export async function startResolved(
  lab: Lab,
  where: Namespace,
  settings: readonly string[],
  links: ReadonlyMap<number, string> = new Map(),
): Promise<Background> {
  const etc = lab.path(`resolved-etc-${where.name}`);
  mkdirSync(join(etc, 'systemd'), { recursive: true });
  const users = ['root:x:0:0::/:/bin/sh', 'systemd-resolve:x:991:991::/:/bin/false'];
  writeFileSync(join(etc, 'passwd'), `${users.join('\n')}\n`);
  writeFileSync(join(etc, 'group'), 'root:x:0:\nsystemd-resolve:x:991:\n');
  const off = ['LLMNR=no', 'MulticastDNS=no', 'DNSSEC=no', 'ReadEtcHosts=no', 'FallbackDNS='];
  const lines = ['[Resolve]', ...off, ...settings];
  writeFileSync(join(etc, 'systemd', 'resolved.conf'), `${lines.join('\n')}\n`);
  mkdirSync(join(etc, 'links'), { recursive: true });
  for (const [index, state] of links) writeFileSync(join(etc, 'links', `${index}`), state);
  // The shell ends with unshare, and all with the shell; a daemon that has changed its user would stay.
  const own = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const script = `set -e
    mount --bind "$1" /etc
    mount -t tmpfs none /run
    mkdir -p /run/systemd/resolve/netif
    cp "$1"/links/* /run/systemd/resolve/netif/ 2>/dev/null || true
    chown -R 991:991 /run/systemd/resolve
    "$0" &
    wait`;
  const resolved = where.start([...own, 'sh', '-c', script, findResolved(), etc]);
  await until('the stub of systemd-resolved', async () => {
    if (!resolved.isRunning) throw new Error(resolved.stderr);
    return (await where.run('ss', '-Hlun')).includes(`${STUB}%lo:53`) ? true : undefined;
  });
  return resolved;
}
