/** What a command line or file asks gvproxy for, and does nothing: words for the log. */
import type { GoFlagValues } from '../go-flags.ts';
import type { GvproxyFile } from './configuration.ts';
import { DEFAULT_LOG_LEVEL, logLevelOf } from './log-level.ts';

const OF_STACK = [
  ['tcpMaxInFlight', 'a connection that waits for its server keeps no other waiting'],
  ['tcpConnectTimeout', 'the system decides how long a connection may take to be made'],
] as const;

export function withoutEffect(
  flags: GoFlagValues,
  file: GvproxyFile | undefined,
  deviceIP: string,
): string[] {
  if (file === undefined) return [];
  const found: string[] = [];
  const level = file['log-level'] ?? '';
  if (level !== '' && logLevelOf(level) === undefined) {
    found.push(`log-level ${level}: "${DEFAULT_LOG_LEVEL}" is taken`);
  }
  for (const [key, why] of OF_STACK) {
    if ((file.stack?.[key] ?? '') !== '') found.push(`stack.${key}: ${why}`);
  }
  const port = flags.integer('ssh-port');
  if (flags.has('ssh-port') && port !== -1) {
    const forward = `127.0.0.1:${port}: ${deviceIP}:22`;
    found.push(`-ssh-port ${port}: with -config, "${forward}" in stack.forwards`);
  }
  return found;
}
