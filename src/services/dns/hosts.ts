/** hosts(5) files. */
import type { IpAddress } from '../../base/ip-address.ts';
import { parseAddress } from '../address-text.ts';

export interface HostEntry {
  readonly address: IpAddress;
  /** Lower case, without the last dot. The first is the canonical one. */
  readonly names: readonly string[];
}

/** A list of names to block may have half as many. */
export const HOSTS_MAX = 1_048_576;

/** Lists have few addresses, and many names of each: one object for all of them. */
const KNOWN_MAX = 1_024;

/** Never fails: invalid lines are skipped, and what is behind {@link HOSTS_MAX} entries. */
export function parseHosts(text: string): HostEntry[] {
  const entries: HostEntry[] = [];
  const known = new Map<string, IpAddress | undefined>();
  for (const line of text.split('\n')) {
    const [first = '', ...rest] = line.replace(/#.*$/, '').trim().split(/\s+/);
    const address = known.has(first) ? known.get(first) : parseAddress(first);
    if (known.size < KNOWN_MAX) known.set(first, address);
    const names = rest.map((name) => name.replace(/\.$/, '').toLowerCase()).filter(isHostName);
    if (address === undefined || names.length === 0) continue;
    entries.push({ address, names });
    if (entries.length === HOSTS_MAX) break;
  }
  return entries;
}

/** Whether DNS can hold it as plain text: labels of 1..63 bytes, 253 in all. */
export const isHostName = (name: string): boolean =>
  name.length <= 253 && name.split('.').every((label) => /^[!-[\]-~]{1,63}$/.test(label));
