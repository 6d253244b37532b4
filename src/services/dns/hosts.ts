/** hosts(5) files. */
import type { IpAddress } from '../../base/ip-address.ts';
import { parseAddress } from '../address-text.ts';

export interface HostEntry {
  readonly address: IpAddress;
  /** Lower case, without the last dot. The first is the canonical one. */
  readonly names: readonly string[];
}

const MAX_ENTRIES = 65_536;

/** Never fails: invalid lines are skipped. */
export function parseHosts(text: string): HostEntry[] {
  const entries: HostEntry[] = [];
  for (const line of text.split('\n')) {
    const [first = '', ...rest] = line.replace(/#.*$/, '').trim().split(/\s+/);
    const address = parseAddress(first);
    const names = rest.map((name) => name.replace(/\.$/, '').toLowerCase()).filter(isHostName);
    if (address === undefined || names.length === 0) continue;
    entries.push({ address, names });
    if (entries.length === MAX_ENTRIES) break;
  }
  return entries;
}

/** Whether DNS can hold it as plain text: labels of 1..63 bytes, 253 in all. */
export const isHostName = (name: string): boolean =>
  name.length <= 253 && name.split('.').every((label) => /^[!-[\]-~]{1,63}$/.test(label));
