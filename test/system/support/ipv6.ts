/** IPv6 in a lab: addresses of the networks that a lab has, and of a guest that has them by hand. */
import type { Guest, Lab, Namespace } from './lab.ts';
import { until } from './until.ts';

export const SUBNET6 = 'fd12:3456:0:1::/64';
export const GATEWAY6 = 'fd12:3456:0:1::1';
/** Stands for ::1. */
export const HOST6 = 'fd12:3456:0:1::254';
export const GUEST6 = 'fd12:3456:0:1::2';
/** Of the host, and of its router. */
export const HOST6_OUTER = '2001:db8:18::10';
export const OUTSIDE6 = '2001:db8:18::1';
/** The host's kernel has no way there. */
export const NOWHERE6 = '2001:db8:bad::1';

const add = (where: Namespace, address: string, device: string): Promise<string> =>
  where.run('ip', 'addr', 'add', address, 'dev', device, 'nodad');

/** Give the host and the outside a network of IPv6, with a default route. */
export async function addIpv6({ host, outside }: Lab): Promise<void> {
  await add(host, `${HOST6_OUTER}/64`, 'up0');
  await add(outside, `${OUTSIDE6}/64`, 'up0');
  await host.run('ip', 'route', 'add', 'default', 'via', OUTSIDE6);
  await host.run('ip', 'route', 'add', 'unreachable', '2001:db8:bad::/48');
}

/** Give a guest an address and a default route by hand. */
export async function addGuestIpv6(guest: Guest, address: string = GUEST6): Promise<void> {
  await add(guest, `${address}/64`, 'eth0');
  await guest.run('ip', 'route', 'replace', 'default', 'via', GATEWAY6, 'dev', 'eth0');
}

/** The address that the guest's kernel has made of the prefix, once it may be used. */
export async function slaacAddress(guest: Guest): Promise<string> {
  const prefix = SUBNET6.slice(0, SUBNET6.indexOf('::'));
  return await until('an address of the prefix', async () => {
    const list = await guest.run(
      'ip',
      '-6',
      '-o',
      'addr',
      'show',
      'dev',
      'eth0',
      'scope',
      'global',
    );
    const line = list.split('\n').find((one) => one.includes(prefix) && !one.includes('tentative'));
    return /inet6 ([0-9a-f:]+)\//.exec(line ?? '')?.[1];
  });
}
