/**
 * CUBIC in the namespaces, whatever the machine's default is: a namespace may choose only what the
 * machine allows to unprivileged processes, so CUBIC is allowed while the benchmark runs.
 */
import { readFileSync, writeFileSync } from 'node:fs';

const ALLOWED = '/proc/sys/net/ipv4/tcp_allowed_congestion_control';

/** @returns what puts the setting back */
export function allowCubic(): () => void {
  const before = readFileSync(ALLOWED, 'utf8').trim();
  if (before.split(' ').includes('cubic')) return () => {};
  try {
    writeFileSync(ALLOWED, `${before} cubic`);
  } catch {
    return () => {}; // measured with the default, which the report names
  }
  return () => writeFileSync(ALLOWED, before);
}
