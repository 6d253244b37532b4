/** What the rules of a policy may call a guest: nothing that it says of itself. */
import type { Guest } from '../../stack/guest.ts';
import { macOf } from '../../wire/mac.ts';
import type { StaticLease } from '../config.ts';

/** @returns the name of its link, with and without the number of the connection, and the host names of its static leases */
export function policyNames(guest: Guest, leases: readonly StaticLease[]): readonly string[] {
  const { link } = guest;
  const names = link === undefined ? [] : [link.name, link.name.replace(/#\d+$/, '')];
  for (const { mac, hostname } of leases) {
    if (hostname !== undefined && guest.hasMac(macOf(mac))) names.push(hostname);
  }
  return names;
}
