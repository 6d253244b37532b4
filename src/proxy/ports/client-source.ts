/**
 * The source that a guest sees for a client of a published port: the real client, so that servers
 * log it, where the guest can answer it. A client on the host's loopback or of a Unix socket
 * appears as the host address; one of the other family, or with an address of the guest's own
 * network, or that guests have no route to, as the gateway.
 */
import type { IpAddress } from '../../base/ip-address.ts';
import { parseAddress } from '../../services/address-text.ts';
import type { AddressMap } from '../address-map.ts';
import type { SourceAddress } from './publish-spec.ts';

/** Of a client in Node's text form; undefined for one of a Unix socket. */
export const familyOf = (client: string | undefined): 4 | 6 | undefined =>
  client === undefined ? undefined : (parseAddress(client)?.family ?? 6); // one with a zone

/** @param client in Node's text form; undefined for a client of a Unix socket */
export function clientSource(
  addresses: AddressMap,
  client: string | undefined,
  family: 4 | 6,
  how: SourceAddress = 'preserve',
): IpAddress {
  const gateway = addresses.gatewayOf(family);
  if (how === 'gateway') return gateway;
  const local = addresses.hostOf(family) ?? gateway;
  if (client === undefined) return local;
  const address = parseAddress(client);
  if (address === undefined) return gateway;
  const words = Int32Array.of(address.a, address.b, address.c, address.d);
  const kind = addresses.kindOf(words, 0);
  if (kind === 'loopback') return local;
  const isAnswered = address.family === family && addresses.hasRoute(family);
  return kind === 'outside' && isAnswered ? address : gateway;
}

const FIRST_EPHEMERAL = 49_152;
const EPHEMERAL = 16_384;
/** Ports tried for one client before giving up. */
export const SOURCE_TRIES = 32;

/**
 * Two loopback clients (127.0.0.1:5000, 127.0.0.2:5000) look alike to the guest. The first has its
 * own port; the next takes another.
 *
 * @param attempt 0 for the client's own port
 */
export const sourcePort = (clientPort: number, attempt: number): number =>
  attempt === 0 ? clientPort : FIRST_EPHEMERAL + ((clientPort + attempt * 257) % EPHEMERAL);

let nextUnixPort = 0;

/** The port for a client that has none, cycling through the ephemeral range. */
export const unixClientPort = (): number => FIRST_EPHEMERAL + (nextUnixPort++ % EPHEMERAL);
