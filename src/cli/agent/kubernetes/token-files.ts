/** What the official client does not read of a kubeconfig: `tokenFile` of users, whose token is another one now and then. */
import { resolve } from 'node:path';
import { parse } from 'yaml';
import { readSmallFile } from '../../../native/read-small-file.ts';
import { member } from '../../docker-proxy/lease.ts';
import { arrayOf } from '../publish-labels.ts';

/**
 * Read them as they are now.
 *
 * @param kubeconfig its text
 * @param directory of the kubeconfig
 * @returns tokens by the names of their users
 * @throws Error of the system
 */
export function tokensIn(kubeconfig: string, directory: string): ReadonlyMap<string, string> {
  const tokens = new Map<string, string>();
  for (const one of arrayOf(member(parse(kubeconfig), 'users'))) {
    const name = member(one, 'name');
    const file = member(member(one, 'user'), 'tokenFile');
    if (typeof name !== 'string' || typeof file !== 'string' || file === '') continue;
    tokens.set(name, readSmallFile(resolve(directory, file)).trim());
  }
  return tokens;
}
