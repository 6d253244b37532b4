/**
 * What Services of a Kubernetes cluster publish, as ports of the host. The API's objects are JSON of somebody else's: what
 * is not as expected is left out.
 *
 * | Service | port on the host | dialled in the guest |
 * |---|---|---|
 * | LoadBalancer with an address | its port | that address and port |
 * | LoadBalancer that waits for one | its port | the node port |
 * | NodePort | the node port | the node port |
 *
 * Of IPv4 it is at 127.0.0.1 of the host, of IPv6 at ::1, of both at both. Node ports are dialled at the address of a node:
 * that of this machine, where it is one. The loopback has none but for IPv4, and by some kinds of kube-proxy.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { member } from '../../docker-proxy/lease.ts';
import { PortSet } from '../port-set.ts';
import { arrayOf, isLeftOut, isPort, portByLabels } from '../publish-labels.ts';
import type { WantedPort } from '../wanted-port.ts';

interface ServicePort {
  readonly protocol: 'tcp' | 'udp';
  readonly name: string;
  readonly port: number;
  readonly nodePort: number | undefined;
}

export interface PublishedService {
  /** Of two that want one port of the host, the older has it. */
  readonly createdAt: string;
  readonly labels: object;
  readonly isBalanced: boolean;
  readonly families: readonly (4 | 6)[];
  /** Of the load balancer. */
  readonly addresses: readonly string[];
  readonly ports: readonly ServicePort[];
}

/** @returns undefined for one that publishes nothing */
export function readService(object: unknown): PublishedService | undefined {
  const [metadata, spec] = [member(object, 'metadata'), member(object, 'spec')];
  const type = member(spec, 'type');
  if (type !== 'LoadBalancer' && type !== 'NodePort') return undefined;
  const labels = labelsOf(metadata);
  if (isLeftOut(labels)) return undefined;
  const balancer = member(member(object, 'status'), 'loadBalancer');
  return {
    createdAt: String(member(metadata, 'creationTimestamp') ?? ''),
    labels,
    isBalanced: type === 'LoadBalancer',
    families: familiesOf(spec),
    addresses: arrayOf(member(balancer, 'ingress')).flatMap((one) => addressIn(member(one, 'ip'))),
    ports: arrayOf(member(spec, 'ports')).flatMap(portOf),
  };
}

/** @returns the addresses of a node in its cluster; undefined when it has none */
export function readNode(object: unknown): readonly string[] | undefined {
  const all = arrayOf(member(member(object, 'status'), 'addresses'));
  const own = all.filter((one) => member(one, 'type') === 'InternalIP');
  const addresses = own.flatMap((one) => addressIn(member(one, 'address')));
  return addresses.length === 0 ? undefined : addresses;
}

export interface ClusterNodes {
  /** Addresses of each. */
  readonly nodes: Iterable<readonly string[]>;
  /** Whether an address is this machine's. */
  isOwn(address: string): boolean;
}

/** @param services by `namespace/name` */
export function servicePorts(
  services: ReadonlyMap<string, PublishedService>,
  nodes: ClusterNodes,
  max: number,
): PortSet {
  const found = new PortSet(max);
  const nodeAddress = { 4: nodeAddressOf(nodes, 4), 6: nodeAddressOf(nodes, 6) };
  const oldestFirst = [...services].toSorted(
    ([name, { createdAt }], [otherName, other]) =>
      compare(createdAt, other.createdAt) || compare(name, otherName),
  );
  for (const [, service] of oldestFirst) {
    for (const port of service.ports) {
      for (const family of service.families) {
        const wanted = wantedPort(service, port, family, nodeAddress[family]);
        if (wanted !== undefined) found.add(wanted);
      }
    }
  }
  return found;
}

function wantedPort(
  service: PublishedService,
  { protocol, name, port, nodePort }: ServicePort,
  family: 4 | 6,
  node: string | undefined,
): WantedPort | undefined {
  const { isBalanced, addresses, labels } = service;
  const shown = isBalanced ? port : nodePort;
  if (shown === undefined) return undefined;
  const hostPort = portByLabels(labels, [name, port, shown], shown);
  if (hostPort === undefined) return undefined;
  const balancer = isBalanced ? addresses.find((one) => isOf(one, family)) : undefined;
  const guestAddress = balancer ?? node;
  const guestPort = balancer === undefined ? nodePort : port;
  if (guestAddress === undefined || guestPort === undefined) return undefined;
  const hostAddress = family === 4 ? '127.0.0.1' : '::1';
  return { protocol, hostAddress, hostPort, guestAddress, guestPort };
}

function nodeAddressOf({ nodes, isOwn }: ClusterNodes, family: 4 | 6): string | undefined {
  const all = [...nodes].flat().filter((address) => isOf(address, family));
  return all.find(isOwn) ?? all[0] ?? (family === 4 ? '127.0.0.1' : undefined);
}

/** Annotations, and labels for what they do not say. */
function labelsOf(metadata: unknown): object {
  const own = (of: unknown): object =>
    Object.fromEntries(
      Object.entries(typeof of === 'object' && of !== null ? of : {}).filter(([name]) =>
        name.startsWith('hawser.'),
      ),
    );
  return { ...own(member(metadata, 'labels')), ...own(member(metadata, 'annotations')) };
}

function familiesOf(spec: unknown): readonly (4 | 6)[] {
  const stated = arrayOf(member(spec, 'ipFamilies')).flatMap((family): (4 | 6)[] =>
    family === 'IPv4' ? [4] : family === 'IPv6' ? [6] : [],
  );
  if (stated.length > 0) return stated;
  const address = member(spec, 'clusterIP'); // of a server that knows one family
  return [typeof address === 'string' && isIPv6(address) ? 6 : 4];
}

function portOf(object: unknown): ServicePort[] {
  const [port, nodePort] = [member(object, 'port'), member(object, 'nodePort')];
  const protocol = PROTOCOLS.get(member(object, 'protocol') ?? 'TCP');
  if (!isPort(port) || protocol === undefined) return [];
  const name = String(member(object, 'name') ?? '');
  return [{ protocol, name, port, nodePort: isPort(nodePort) ? nodePort : undefined }];
}

const PROTOCOLS: ReadonlyMap<unknown, 'tcp' | 'udp'> = new Map([
  ['TCP', 'tcp'],
  ['UDP', 'udp'],
]);

const addressIn = (value: unknown): string[] =>
  typeof value === 'string' && (isIPv4(value) || isIPv6(value)) ? [value] : [];

const isOf = (address: string, family: 4 | 6): boolean =>
  family === 4 ? isIPv4(address) : isIPv6(address);

const compare = (one: string, other: string): number => {
  if (one === other) return 0;
  return one < other ? -1 : 1;
};
