/** ICMP errors that the host's kernel received for one of our sockets, and their meaning for guests. */
import type { Posix, QueuedError } from '../../native/posix.ts';
import type { NetworkError } from '../../stack/flow.ts';

/** The error queues of the host's sockets; absent without native calls. */
export type HostErrors = Pick<Posix, 'enableErrorQueue' | 'readErrorQueue'>;

/** @returns undefined for errors that are not passed on to guests (too big: the host fragments) */
export function networkErrorOf(error: QueuedError): NetworkError | undefined {
  switch (error.origin) {
    case 'local':
    case 'other':
      return undefined; // origin 'local': the failed send reports it
    case 'icmp':
      return icmpError(error.icmpType, error.icmpCode);
    case 'icmp6':
      return icmp6Error(error.icmpType, error.icmpCode);
  }
}

const ICMP_UNREACHABLE = 3;
const ICMP_TIME_EXCEEDED = 11;
const CODE_FRAGMENTATION_NEEDED = 4;
/** RFC 792 and RFC 1812 §5.2.7.1: unreachable codes; all others mean the host. */
const ICMP_NETWORK_CODES = new Set([0, 6, 11]);
const ICMP_PROHIBITED_CODES = new Set([9, 10, 13]);

function icmpError(type: number, code: number): NetworkError | undefined {
  if (type === ICMP_TIME_EXCEEDED) return code === 0 ? 'ttl-exceeded' : undefined;
  if (type !== ICMP_UNREACHABLE || code === CODE_FRAGMENTATION_NEEDED) return undefined;
  if (code === 3) return 'port-unreachable';
  if (ICMP_NETWORK_CODES.has(code)) return 'net-unreachable';
  return ICMP_PROHIBITED_CODES.has(code) ? 'prohibited' : 'host-unreachable';
}

/** RFC 4443 §3.1, §3.3. */
function icmp6Error(type: number, code: number): NetworkError | undefined {
  if (type === 3) return code === 0 ? 'ttl-exceeded' : undefined;
  if (type !== 1) return undefined;
  if (code === 4) return 'port-unreachable';
  if (code === 0) return 'net-unreachable';
  return code === 1 || code === 5 ? 'prohibited' : 'host-unreachable';
}

/** Whether the host has no address of the family, or does not know it at all. */
export const lacksFamily = (code: string): boolean =>
  code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT' || code === 'ENETUNREACH';

/** The error for the guest after a failed send to `address`; undefined when it is only counted. */
export function sendError(code: string, address: string): NetworkError | undefined {
  if (lacksFamily(code)) return isLoopback(address) ? 'port-unreachable' : 'net-unreachable';
  switch (code) {
    case 'EHOSTUNREACH':
    case 'EHOSTDOWN':
      return 'host-unreachable';
    case 'EACCES':
    case 'EPERM':
      return 'prohibited';
    default:
      return undefined; // ENOBUFS, EMSGSIZE, ...
  }
}

const isLoopback = (address: string): boolean => address === '::1' || address === '127.0.0.1';

/** Codes with which a send reports an ICMP error that an earlier datagram met (errno of ip(7)). */
export const isPendingError = (code: string): boolean => code === 'ECONNREFUSED';

/**
 * Enable ICMP errors on a socket. Where the kernel refuses, guests do not get them, and the socket still works.
 *
 * @returns whether it will report them
 */
export function enableErrors(errors: HostErrors | undefined, fd: number, family: 4 | 6): boolean {
  if (errors === undefined || fd < 0) return false;
  try {
    errors.enableErrorQueue(fd, family);
    return true;
  } catch {
    return false;
  }
}
