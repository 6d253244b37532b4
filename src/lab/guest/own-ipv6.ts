/** The IPv6 address that this process's kernel has made of the network's prefix (RFC 4862), once it may be used. */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { IpAddress } from '../../base/ip-address.ts';
import { parseAddress } from '../../services/address-text.ts';
import { LeftOutError } from '../step-report.ts';

const LIST = '/proc/net/if_inet6';
/** include/uapi/linux/if_addr.h: IFA_F_TEMPORARY, IFA_F_DADFAILED, IFA_F_DEPRECATED, IFA_F_TENTATIVE. */
const NOT_USABLE = 0x01 | 0x08 | 0x20 | 0x40;
const TIMEOUT_MS = 8_000;
const LOOK_MS = 50;

/**
 * @param gateway another address of the network
 * @throws LeftOutError where the kernel has no IPv6, or not on this interface
 */
export async function ownIpv6(ifName: string, gateway: string): Promise<string> {
  const network = parseAddress(gateway);
  if (network === undefined) throw new Error(`${gateway} is no address`);
  const deadline = performance.now() + TIMEOUT_MS;
  for (;;) {
    const found = addressIn(listOf(ifName), ifName, network);
    if (found !== undefined) return found;
    if (performance.now() > deadline) {
      throw new Error(`no address of the network of ${gateway} within ${TIMEOUT_MS / 1_000} s`);
    }
    await delay(LOOK_MS);
  }
}

function listOf(ifName: string): string {
  if (contentOf(`/proc/sys/net/ipv6/conf/${ifName}/disable_ipv6`)?.trim() === '1') {
    throw new LeftOutError(`left out: IPv6 is disabled on the guest's ${ifName} (disable_ipv6)`);
  }
  const list = contentOf(LIST);
  if (list === undefined) throw new LeftOutError("left out: the guest's kernel has no IPv6");
  return list;
}

function contentOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined; // no such family, or interface
  }
}

/** @param list of lines: 32 digits, index, prefix length, scope and flags in hex, name of the interface */
export function addressIn(list: string, ifName: string, { a, b }: IpAddress): string | undefined {
  for (const line of list.split('\n')) {
    const [digits = '', , , , flags = '', name] = line.trim().split(/\s+/);
    if (name !== ifName || (Number.parseInt(flags, 16) & NOT_USABLE) !== 0) continue;
    const word = (at: number): number => Number.parseInt(digits.slice(at, at + 8), 16) | 0;
    const address = new IpAddress(word(0), word(8), word(16), word(24));
    if (address.a === a && address.b === b) return address.toString();
  }
  return undefined;
}
