import type { PortOwner } from '../../proxy/ports/port-owner.ts';
import type { PublishedPort } from '../../proxy/ports/port-table.ts';
import { formatGuestName } from '../../proxy/ports/publication-guest.ts';
import type { WaitingPort, WantingPublisher } from '../../proxy/ports/waiting-ports.ts';
import type { LeftOutView, PortView, WaitingPortView } from '../network-view.ts';

type TargetNow = NonNullable<PublishedPort['target']>;

/** The address that an agent dials where none is given: its own loopback. */
const LOOPBACK_TEXT = '127.0.0.1';

/** A published port as the API shows it. */
export function portView(port: PublishedPort): PortView {
  const isUnix = port.protocol === 'unix';
  const { owner } = port;
  const isBySsh = isUnix && port.ssh !== undefined;
  const isDialledByAgent = port.useAgent && port.guestPath === undefined;
  return {
    id: port.id,
    protocol: port.protocol,
    hostAddress: isUnix ? null : (port.onlyLoopback ?? port.hostAddress ?? '*').toString(),
    hostPort: isUnix ? null : port.hostPort,
    hostPath: isUnix ? port.hostPath : null,
    guestAddress: port.guestAddress?.toString() ?? (isDialledByAgent ? LOOPBACK_TEXT : null),
    guest: port.guest === undefined ? null : formatGuestName(port.guest),
    guestNow: port.target === undefined ? null : guestNow(port.target),
    guestPort: port.guestPath === undefined || isBySsh ? port.guestPort : null,
    guestPath: port.guestPath ?? null,
    via: wayOf(port),
    sourceAddress: port.effectiveSource,
    proxyProtocol: port.proxyProtocol ?? null,
    lease: port.leased ? 'connection' : null,
    annotation: port.annotation ?? null,
    owner: ownerText(owner),
    link: linkOf(owner),
    active: port.active,
  };
}

export function waitingPortView({ spec, owner, problem }: WaitingPort): WaitingPortView {
  return {
    protocol: spec.protocol,
    hostAddress: (spec.hostAddress ?? '*').toString(),
    hostPort: spec.hostPort,
    guestAddress: spec.guestAddress?.toString() ?? LOOPBACK_TEXT,
    guestPort: spec.guestPort,
    owner: ownerText(owner),
    link: linkOf(owner),
    code: problem.code,
    problem: problem.message,
  };
}

export const leftOutView = ({
  owner,
  leftOut,
}: Pick<WantingPublisher, 'owner' | 'leftOut'>): LeftOutView => ({
  owner: ownerText(owner),
  link: linkOf(owner),
  ports: leftOut,
});

const linkOf = (owner: PortOwner): string | null =>
  typeof owner === 'object' && 'agent' in owner ? owner.agent : null;

function ownerText(owner: PortOwner): string {
  if (typeof owner === 'string') return owner;
  return 'agent' in owner ? 'agent' : owner.guest.toString();
}

const wayOf = (port: PublishedPort): PortView['via'] => {
  if (port.protocol === 'unix' && port.ssh !== undefined) return 'ssh';
  return port.useAgent ? 'mux' : 'net';
};

const guestNow = ({ address, mac, attached }: TargetNow): PortView['guestNow'] => ({
  address: address?.toString() ?? null,
  mac: mac ?? null,
  attached,
});
