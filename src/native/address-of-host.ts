/**
 * Whether an address is one of this host's own. The kernel decides: a socket can be bound to it. The list of interfaces
 * lacks the addresses of those that are down or without a carrier, and those of `local` routes (AnyIP), all of which the
 * kernel delivers to the host itself.
 *
 * Where every address can be bound (`net.ipv4.ip_nonlocal_bind`), every one is taken for the host's; and while the
 * kernel cannot be asked, for lack of descriptors or memory.
 */
import { isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { SOCKET_HANDLE, STREAM_BINDINGS, type StreamBindings } from './stream/bindings.ts';

const SHORT: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOMEM', 'ENOBUFS']);

export function isAddressOfHost(
  address: string,
  bindings: StreamBindings | null = STREAM_BINDINGS,
): boolean {
  return isOfInterface(address) || (bindings !== null && canBind(bindings, address));
}

function canBind(bindings: StreamBindings, address: string): boolean {
  const handle = new bindings.TCP(SOCKET_HANDLE);
  try {
    const code = isIPv6(address) ? handle.bind6(address, 0, 0) : handle.bind(address, 0, 0);
    return code === 0 || SHORT.has(getSystemErrorName(code));
  } finally {
    handle.close();
  }
}

function isOfInterface(address: string): boolean {
  let all: ReturnType<typeof networkInterfaces>;
  try {
    all = networkInterfaces();
  } catch {
    return false; // reading them takes a descriptor too
  }
  return Object.values(all).some((entries) => entries?.some((entry) => entry.address === address));
}
