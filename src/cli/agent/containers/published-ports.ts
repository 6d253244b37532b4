/**
 * What the containers of an engine have published, as ports of the host. The engine's list is JSON of somebody else's: what
 * is not as expected is left out.
 *
 * | published in the guest | on the host | dialled in the guest |
 * |---|---|---|
 * | 0.0.0.0, 127.0.0.1 | 127.0.0.1 | 127.0.0.1 |
 * | ::, ::1 | ::1 | 127.0.0.1 if that has the port too, else ::1 |
 * | another of 127.0.0.0/8 | the same | the same |
 * | another | 127.0.0.1 or ::1 | the same |
 *
 * The published port is dialled, never the container: since Docker Engine 28 packets to a container's address from outside
 * are dropped. And IPv4 first: Engine 29 without its userland proxy lets a client of ::1 wait for ever.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { member } from '../../docker-proxy/lease.ts';
import { PortSet } from '../port-set.ts';
import { arrayOf, isLeftOut, isPort, portByLabels } from '../publish-labels.ts';
import type { WantedPort } from '../wanted-port.ts';

/** @param containers the answer to `GET /containers/json` */
export function publishedPorts(containers: unknown, max: number): PortSet {
  const found = new PortSet(max);
  for (const container of arrayOf(containers)) {
    const labels = member(container, 'Labels');
    if (isLeftOut(labels)) continue;
    const bound = arrayOf(member(container, 'Ports')).flatMap(boundPort);
    for (const port of bound) {
      const hostPort = portByLabels(labels, [port.number], port.number);
      if (hostPort === undefined) continue;
      found.add(wantedPort(port, hostPort, bound));
    }
  }
  return found;
}

interface BoundPort {
  readonly protocol: 'tcp' | 'udp';
  readonly address: string;
  readonly number: number;
}

function boundPort(port: unknown): BoundPort[] {
  const number = member(port, 'PublicPort');
  const protocol = member(port, 'Type');
  const address = member(port, 'IP') || '0.0.0.0'; // Podman leaves it empty
  if (!isPort(number)) return [];
  if (protocol !== 'tcp' && protocol !== 'udp') return [];
  if (typeof address !== 'string' || !(isIPv4(address) || isIPv6(address))) return [];
  return [{ protocol, address, number }];
}

function wantedPort(port: BoundPort, hostPort: number, all: readonly BoundPort[]): WantedPort {
  const { protocol, address, number } = port;
  const common = { protocol, hostPort, guestPort: number };
  if (isIPv4(address)) {
    const isOwn = address.startsWith('127.');
    const guestAddress = address === '0.0.0.0' ? '127.0.0.1' : address;
    return { ...common, hostAddress: isOwn ? address : '127.0.0.1', guestAddress };
  }
  const isLocal = address === '::' || address === '::1';
  const isAlsoV4 = all.some(
    (other) =>
      other.protocol === protocol &&
      other.number === number &&
      (other.address === '0.0.0.0' || other.address === '127.0.0.1'),
  );
  const guestAddress = isAlsoV4 ? '127.0.0.1' : '::1';
  return { ...common, hostAddress: '::1', guestAddress: isLocal ? guestAddress : address };
}
