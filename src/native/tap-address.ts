import { createHash } from 'node:crypto';

/**
 * The Ethernet address of an interface that we create, always the same, so that its lease is too: locally
 * administered, derived from the names of the interface and of its namespace.
 */
export function tapAddress(name: string, netns: string | undefined): Uint8Array {
  const mac = createHash('sha256')
    .update(`${name}@${netns ?? ''}`)
    .digest()
    .subarray(0, 6);
  mac[0] = ((mac[0] ?? 0) & 0xfc) | 0x02;
  return mac;
}
