/**
 * Whether an address is one of this host's own. The kernel decides: a socket can be bound to it. The list of interfaces
 * lacks the addresses of those that are down or without a carrier, and those of `local` routes (AnyIP), all of which the
 * kernel delivers to the host itself.
 *
 * Where every address can be bound (`net.ipv4.ip_nonlocal_bind`), every one is taken for the host's.
 */
import { isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { SOCKET_HANDLE, STREAM_BINDINGS, type StreamBindings } from './stream/bindings.ts';

export function isAddressOfHost(
  address: string,
  bindings: StreamBindings | null = STREAM_BINDINGS,
): boolean {
  return isOfInterface(address) || (bindings !== null && canBind(bindings, address));
}

function canBind(bindings: StreamBindings, address: string): boolean {
  const handle = new bindings.TCP(SOCKET_HANDLE);
  try {
    return (isIPv6(address) ? handle.bind6(address, 0, 0) : handle.bind(address, 0, 0)) === 0;
  } finally {
    handle.close();
  }
}

function isOfInterface(address: string): boolean {
  const all = Object.values(networkInterfaces());
  return all.some((entries) => entries?.some((entry) => entry.address === address));
}
