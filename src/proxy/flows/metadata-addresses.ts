/**
 * Where clouds serve a machine what it is, and the credentials that it has: to whoever asks from there. Link-local IPv4
 * addresses (RFC 3927), where most do, are no less so.
 */
import { type IpAddress, V4_MAPPED } from '../../base/ip-address.ts';
import { parseAddress } from '../../services/address-text.ts';

const ADDRESSES = [
  '100.100.100.200', // Alibaba Cloud
  '168.63.129.16', // Azure
  '192.0.0.192', // Oracle Cloud
  'fd00:ec2::254', // AWS: metadata
  'fd00:ec2::23', // AWS: credentials of a container
  'fd20:ce::254', // Google Cloud
  'fd00:42::42', // Scaleway
].flatMap((text): readonly IpAddress[] => {
  const address = parseAddress(text);
  return address === undefined ? [] : [address];
});

/** Of link-local IPv4 addresses. */
export const LINK_LOCAL_HIGH_HALF = 0xa9fe;

export function isMetadata(a: number, b: number, c: number, d: number): boolean {
  for (const one of ADDRESSES) {
    if (one.d === d && one.c === c && one.b === b && one.a === a) return true;
  }
  return false;
}

export const isMetadata4 = (word: number): boolean => isMetadata(0, 0, V4_MAPPED, word);
