/** `hawser expose`, `unexpose` and `ports`: the published ports of a running daemon. */
import type { ApiClient } from '../../control/client.ts';
import type { GuestNowView, LeftOutView, PortView } from '../../control/network-view.ts';
import type { PortRequest } from '../../control/ports/port-request.ts';
import { type PortsAnswer, portSchema, portsSchema } from '../../control/schema.ts';
import { RunError, UsageError } from '../../network/errors.ts';
import { formatGuestName } from '../../proxy/ports/publication-guest.ts';
import {
  CARRIERS,
  PROXY_PROTOCOLS,
  type PublishSpec,
  SOURCE_ADDRESSES,
} from '../../proxy/ports/publish-spec.ts';
import {
  PublishSyntaxError,
  parseHostAddress,
  parsePorts,
  parsePublish,
} from '../../proxy/ports/publish-text.ts';
import { isUsual } from '../../proxy/ports/waiting-ports.ts';
import { table } from '../text-table.ts';
import { clientOf, type InspectRequest, toJson } from './inspect.ts';
import { endpoint, hostSide } from './port-text.ts';

export interface ExposeRequest extends InspectRequest {
  /** As `hawser run -p` takes them. */
  readonly ports: readonly string[];
  readonly sourceAddress: string | undefined;
  readonly proxyProtocol: string | undefined;
  readonly via: string | undefined;
}

/** Publish all or none. @returns what to print */
export async function exposeCommand(request: ExposeRequest): Promise<string> {
  const options = {
    sourceAddress: choice('--source-address', request.sourceAddress, SOURCE_ADDRESSES),
    proxyProtocol: choice('--proxy-protocol', request.proxyProtocol, PROXY_PROTOCOLS),
    via: choice('--via', request.via, CARRIERS),
  };
  const bodies = request.ports.flatMap(specsOf).map((spec) => ({ ...bodyOf(spec), ...options }));
  const client = clientOf(request);
  const made: PortView[] = [];
  try {
    for (const body of bodies) made.push(await client.post('/v1/ports', portSchema, body));
  } catch (error) {
    await withdrawAll(client, made);
    throw error;
  }
  if (request.json) return toJson({ ports: made });
  return made.map((port) => `${hostSide(port)} -> ${guestSide(port)} (${port.id})\n`).join('');
}

async function withdrawAll(client: ApiClient, ports: readonly PortView[]): Promise<void> {
  for (const { id } of ports) {
    await client.delete(portPath(id)).catch(() => {}); // the first error is the one to report
  }
}

function choice<const T extends string>(
  flag: string,
  value: string | undefined,
  allowed: readonly T[],
): T | undefined {
  if (value === undefined) return undefined;
  const found = allowed.find((known) => known === value);
  if (found !== undefined) return found;
  throw new UsageError([`${flag} ${value}: must be one of ${allowed.join(', ')}`]);
}

function specsOf(text: string): PublishSpec[] {
  try {
    return parsePublish(text);
  } catch (error) {
    if (error instanceof PublishSyntaxError) throw new UsageError([`${text}: ${error.why}`]);
    throw error;
  }
}

function bodyOf(spec: PublishSpec): PortRequest {
  const host =
    spec.protocol === 'unix'
      ? { hostPath: spec.hostPath }
      : { hostAddress: (spec.hostAddress ?? '*').toString(), hostPort: spec.hostPort };
  const name = spec.guest === undefined ? undefined : formatGuestName(spec.guest);
  const guest =
    spec.guestPath === undefined
      ? { guest: name ?? spec.guestAddress?.toString(), guestPort: spec.guestPort }
      : { guestPath: spec.guestPath };
  if (spec.protocol !== 'unix' || spec.ssh === undefined) {
    return { protocol: spec.protocol, ...host, ...guest };
  }
  const { guestPort, guestPath, ssh } = spec;
  const at = name ?? spec.guestAddress?.toString();
  return { protocol: spec.protocol, ...host, guest: at, guestPort, guestPath, ssh };
}

export interface UnexposeRequest extends InspectRequest {
  /** Ids, or host sides: `8080`, `127.0.0.1:8000-8010`, `[::1]:53/udp`, `unix:PATH`. */
  readonly ports: readonly string[];
}

/** Withdraw all or none. @returns what to print */
export async function unexposeCommand(request: UnexposeRequest): Promise<string> {
  const client = clientOf(request);
  const { ports } = await client.get('/v1/ports', portsSchema);
  const found = request.ports.flatMap(eachOf).map((text) => findPort(text, ports));
  for (const { id } of found) await client.delete(portPath(id));
  if (request.json) return toJson({ ports: found });
  return found.map((port) => `${hostSide(port)} withdrawn\n`).join('');
}

const portPath = (id: string): string => `/v1/ports/${encodeURIComponent(id)}`;

/** The ports of a range; other texts as they are. */
function eachOf(text: string): string[] {
  const [, host = '', range = '', end = ''] = /^(|.+:)(\d+-\d+)(|\/tcp|\/udp)$/.exec(text) ?? [];
  const ports = parsePorts(range, 1);
  if (text.startsWith('unix:') || ports === undefined) return [text];
  const { first, last } = ports;
  return Array.from({ length: last - first + 1 }, (_, i) => `${host}${first + i}${end}`);
}

function findPort(text: string, ports: readonly PortView[]): PortView {
  const wanted = text.startsWith('unix:') ? [text] : canonical(text);
  const port =
    ports.find((candidate) => wanted.includes(hostSide(candidate))) ??
    ports.find(({ id }) => id === text);
  if (port !== undefined) return port;
  throw new RunError(`${text} is not published: see "hawser ports" for what is`);
}

/** `localhost:8080/tcp` of `8080`, or the one loopback that the host has; other texts as they are. */
function canonical(text: string): string[] {
  const [, place = '', protocol = 'tcp'] = /^(.*?)(?:\/(tcp|udp))?$/.exec(text) ?? [];
  if (/^\d+$/.test(place)) {
    return ['localhost', '127.0.0.1', '[::1]'].map((host) => `${host}:${place}/${protocol}`);
  }
  const colon = place.lastIndexOf(':');
  const host = parseHostAddress(place.slice(0, Math.max(colon, 0)));
  if (host === undefined) return [`${place}/${protocol}`];
  const address = (host.address ?? '*').toString();
  return [`${endpoint(address, Number(place.slice(colon + 1)))}/${protocol}`];
}

export async function portsCommand(request: InspectRequest): Promise<string> {
  const answer = await clientOf(request).get('/v1/ports', portsSchema);
  if (request.json) return toJson(answer);
  return publishedText(answer.ports) + waitingText(answer);
}

function publishedText(ports: readonly PortView[]): string {
  if (ports.length === 0) return 'No published ports.\n';
  return table(
    [
      'id',
      { title: 'host', isAddress: true },
      { title: 'guest', isAddress: true, brief: (text) => text.replace(/ \(.*\)$/, '') },
      'via',
      'owner',
      { title: 'source', leftOut: 1 },
      'active',
    ],
    ports.map((port) => [
      port.id,
      hostSide(port),
      guestSide(port),
      port.via,
      port.lease === null ? ownerText(port) : `${ownerText(port)} (lease)`,
      port.proxyProtocol === null
        ? port.sourceAddress
        : `${port.sourceAddress}, PROXY ${port.proxyProtocol}`,
      String(port.active),
    ]),
  );
}

/** What guests want, and do not get. Ports that hosts mostly have themselves are one line. */
function waitingText({ waiting, leftOut }: PortsAnswer): string {
  const usual = waiting.filter(isUsual);
  const rows = waiting
    .filter((port) => !isUsual(port))
    .map((port) => [
      `${endpoint(port.hostAddress, port.hostPort)}/${port.protocol}`,
      endpoint(port.guestAddress, port.guestPort),
      ownerText(port),
      port.problem.replace(/^cannot publish \S+: /, ''),
    ]);
  const host = { title: 'waiting', isAddress: true } as const;
  const guest = { title: 'guest', isAddress: true } as const;
  const titles = [host, guest, 'owner', 'because'];
  const lines = rows.length === 0 ? '' : `\n${table(titles, rows)}`;
  const numbers = [...new Set(usual.map(({ hostPort }) => hostPort))].sort((a, b) => a - b);
  const quiet = numbers.length === 0 ? '' : `\nNot published, as is usual: ${numbers.join(', ')}\n`;
  return `${lines}${quiet}${leftOut.map(leftOutText).join('')}`;
}

const leftOutText = (beyond: LeftOutView): string =>
  `\n${ownerText(beyond)} wants ${beyond.ports} more ports than may be published.\n`;

const ownerText = ({ owner, link }: Pick<LeftOutView, 'owner' | 'link'>): string =>
  link === null ? owner : `${owner} ${link}`;

function guestSide({ guestAddress, guest, guestPort, guestPath, guestNow }: PortView): string {
  if (guestPath !== null) return guestPath;
  const asked = endpoint(guestAddress ?? 'first guest', guestPort ?? 0);
  const place = guest === null ? asked : `${guest}:${guestPort}`;
  return guestNow === null ? place : `${place} (${presence(guestAddress, guestNow)})`;
}

/** The guest, where the port does not name it, and whether it is attached. */
function presence(asked: string | null, { address, mac, attached }: GuestNowView): string {
  if (mac === null) return 'not seen yet';
  const who = asked === null ? [address, mac].filter((part) => part !== null) : [];
  return [...who, attached ? 'attached' : 'away'].join(', ');
}
