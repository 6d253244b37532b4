/** A RootlessKit that is built with its driver for vpnkit, which Debian's is not. */
import { readFileSync } from 'node:fs';
import { onPath } from '../../../src/lab/on-path.ts';

const VARIABLE = 'HAWSER_TEST_ROOTLESSKIT';
/** The package of the driver's client, whose name Go's linker keeps, also in a stripped program. */
const CLIENT = 'github.com/moby/vpnkit/go/pkg/vmnet';

/** @returns its path. @throws Error that says what is missing */
export function findRootlessKitWithVpnkit(): string {
  const path = process.env[VARIABLE] ?? onPath('rootlesskit');
  if (path === undefined) throw new Error('no rootlesskit');
  if (readFileSync(path).includes(CLIENT)) return path;
  throw new Error(`${path} is built without its driver vpnkit (${VARIABLE} names another)`);
}
