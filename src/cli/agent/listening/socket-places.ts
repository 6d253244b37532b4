/**
 * Where on the host a socket of the guest appears, and what is dialled there.
 *
 * | bound in the guest | on the host | dialled in the guest |
 * |---|---|---|
 * | 0.0.0.0, 127.0.0.1 | 127.0.0.1 | 127.0.0.1 |
 * | ::1, :: of IPv6 alone | ::1 | ::1 |
 * | :: | 127.0.0.1 and ::1 | 127.0.0.1, ::1 |
 * | another of 127.0.0.0/8 | the same | the same |
 * | another | 127.0.0.1 or ::1 | the same |
 *
 * A socket of IPv6 that is bound to an address of IPv4 (`::ffff:127.0.0.1`, as Java's) counts as that. A rule may name
 * another place. One of a link-local address does not appear: it cannot be dialled without its link; nor does one of another
 * namespace that is bound to an address of IPv6 besides these, for which {@link innerAddress} has no room.
 */
import { type IpAddress, ipv4 } from '../../../base/ip-address.ts';
import type { BoundSocket } from '../../../native/posix.ts';
import type { WantedPort } from '../wanted-port.ts';
import type { ListeningRule } from './listening-rules.ts';
import { innerAddress } from './netns/inner-address.ts';

const LOOPBACK4 = '127.0.0.1';
const LOOPBACK6 = '::1';
const ANY4 = '0.0.0.0';
const ANY6 = '::';
const LOOPBACK = ipv4(0x7f00_0001);

/** Which loopbacks of the guest reach a socket. */
export interface Families {
  readonly has4: boolean;
  readonly has6: boolean;
}

export function familiesOf({ address, v6Only }: BoundSocket): Families {
  const text = address.toString();
  const has4 = text === ANY4 || text === LOOPBACK4 || (text === ANY6 && v6Only !== true);
  return { has4, has6: text === ANY6 || text === LOOPBACK6 };
}

/** @param netns the inode of the namespace that it is in; undefined: the agent's */
export function placesOf(
  socket: BoundSocket,
  rule: ListeningRule,
  netns?: number,
): readonly WantedPort[] {
  const ports = placesInside(socket, rule);
  if (netns === undefined) return ports;
  return ports.flatMap((port) => {
    const isLoopback = port.guestAddress === LOOPBACK4 || port.guestAddress === LOOPBACK6;
    const address = isLoopback ? LOOPBACK : socket.address;
    if (address.family !== 4) return [];
    return [{ ...port, guestAddress: innerAddress(netns, address).toString() }];
  });
}

function placesInside(socket: BoundSocket, rule: ListeningRule): readonly WantedPort[] {
  const { protocol, address, port } = socket;
  if (isLinkLocal(address)) return [];
  const hostPort = rule.hostPort === undefined ? port : rule.hostPort + (port - rule.first);
  const chosen = rule.hostAddress?.toString();
  const common = { protocol, hostPort, guestPort: port };
  const at = (hostAddress: string, guestAddress: string): WantedPort => ({
    ...common,
    hostAddress: chosen ?? hostAddress,
    guestAddress,
  });
  const text = address.toString();
  const { has4, has6 } = familiesOf(socket);
  if (chosen !== undefined && has4) return [at(chosen, LOOPBACK4)];
  if (has4 || has6) {
    return [
      ...(has4 ? [at(LOOPBACK4, LOOPBACK4)] : []),
      ...(has6 ? [at(LOOPBACK6, LOOPBACK6)] : []),
    ];
  }
  if (text.startsWith('127.')) return [at(text, text)];
  return [at(address.family === 4 ? LOOPBACK4 : LOOPBACK6, text)];
}

const isLinkLocal = ({ a }: IpAddress): boolean => a >>> 22 === 0xfe80_0000 >>> 22;
