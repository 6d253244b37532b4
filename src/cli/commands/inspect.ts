/** `hawser status` and `leases`: the answers of a running daemon's control API. */

import { ApiClient, type ApiEndpoint } from '../../control/client.ts';
import type {
  GuestView,
  Ipv6View,
  LeaseView,
  MuxLinkView,
  SandboxView,
} from '../../control/network-view.ts';
import {
  conflictsSchema,
  guestsSchema,
  healthSchema,
  infoSchema,
  leasesSchema,
  muxSchema,
} from '../../control/schema.ts';
import { readSmallFile } from '../../native/read-small-file.ts';
import { messageOf, RunError, UsageError } from '../../network/errors.ts';
import { parseApi } from '../../network/option-values.ts';
import { instanceDir, instanceSocket, realPlace } from '../runtime-dir.ts';
import { parseName } from '../settings.ts';
import { formatBytes, formatDuration, table } from '../text-table.ts';

export interface InspectRequest {
  readonly name: string;
  readonly api: string | undefined;
  readonly apiTokenFile: string | undefined;
  readonly json: boolean;
}

function endpointOf(request: InspectRequest): ApiEndpoint {
  const { api, apiTokenFile } = request;
  const name = parseName(request.name);
  if ('problem' in name) throw new UsageError([`--name ${request.name}: ${name.problem}`]);
  if (api === undefined) {
    const dir = instanceDir(realPlace(), name.value);
    return { kind: 'unix', path: instanceSocket(dir, 'api.sock', '--api') };
  }
  const parsed = parseApi(api);
  if ('problem' in parsed) throw new UsageError([`--api ${api}: ${parsed.problem}`]);
  if (parsed.value.kind === 'unix') return parsed.value;
  if (apiTokenFile === undefined) {
    throw new UsageError([`--api ${api}: needs --api-token-file with the daemon's token`]);
  }
  try {
    return { ...parsed.value, token: readSmallFile(apiTokenFile).trim() };
  } catch (error) {
    throw new RunError(`cannot read the API token: ${messageOf(error)}`);
  }
}

export const clientOf = (request: InspectRequest): ApiClient => new ApiClient(endpointOf(request));

export const toJson = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;
const orDash = (text: string | null): string => (text === null || text === '' ? '-' : text);

const SEPARATION = {
  separate: 'each has its own addresses',
  isolate: 'isolated from each other',
  trust: 'trusted with the addresses of each other',
} as const;

/** @returns what to print */
export async function statusCommand(request: InspectRequest): Promise<string> {
  const client = clientOf(request);
  const health = await client.get('/v1/health', healthSchema);
  const info = await client.get('/v1/info', infoSchema);
  const { guests } = await client.get('/v1/guests', guestsSchema);
  const { links: mux } = await client.get('/v1/mux', muxSchema);
  if (request.json) {
    const { conflicts } = await client.get('/v1/conflicts', conflictsSchema);
    return toJson({ health, info, guests, mux, conflicts });
  }
  const facts: [string, string][] = [
    ['status', [health.status, ...health.problems].join('\n')],
    ['instance', `${info.name} (process ${info.pid}, hawser ${info.version})`],
    ['up', formatDuration(info.uptimeMs)],
    ['longest turn', `${info.longestTurnMs} ms`],
    ['subnet', `${info.subnet}, MTU ${info.mtu}`],
    ['guests', SEPARATION[info.separation]],
    ['IPv6', ipv6Text(info.ipv6)],
    ['gateway', both(info.gateway, info.ipv6?.gateway)],
    ['host', both(info.hostIp, info.ipv6?.hostIp) || 'closed'],
    ['DNS', orDash([...info.dnsUpstreams, ...info.dnsDomains].join(', '))],
    ['API', info.api],
    ['sandbox', sandboxText(info.sandbox)],
    ...info.links.map(({ link, attachedGuests }): [string, string] => [
      'link',
      `${link} (${attachedGuests} attached)`,
    ]),
    ...mux.map((link): [string, string] => ['mux', muxText(link)]),
  ];
  const attached = info.links.reduce((sum, link) => sum + link.attachedGuests, 0);
  const columns = ['', { title: '', isText: true } as const];
  return `${table(columns, facts)}\n${guestTable(guests, attached)}`;
}

const both = (ipv4: string | null, ipv6: string | null | undefined): string =>
  [ipv4, ipv6].filter((address) => address != null).join(', ');

/** `fd12:3456::/64, default route, NAT64`. */
function ipv6Text(ipv6: Ipv6View | null): string {
  if (ipv6 === null) return 'off';
  const route = ipv6.route ? 'default route' : 'no default route: the host has none';
  return [ipv6.subnet, route, ...(ipv6.nat64 ? ['NAT64'] : [])].join(', ');
}

/** `on, without files: this kernel has no Landlock`. */
function sandboxText({ mode, parts }: SandboxView): string {
  const missing = parts.filter(({ holds }) => !holds);
  return [mode, ...missing.map(({ part, detail }) => `without ${part}: ${detail}`)].join(', ');
}

/** `guest:4099 (connected; peer 1 ready, 2 channels)`. */
function muxText({ link, state, problem, peers }: MuxLinkView): string {
  const facts = peers.map(
    ({ id, state: is, channels }) => `peer ${id} ${is}, ${channels} channels`,
  );
  if (facts.length === 0 && problem !== '') facts.push(problem);
  return `${link} (${[state, ...facts].join('; ')})`;
}

function guestTable(guests: readonly GuestView[], attached: number): string {
  if (guests.length === 0) {
    return attached === 0
      ? 'No guest has attached yet.\n'
      : 'A guest is attached, but has not been heard yet.\n';
  }
  const isAnyShort = guests.some((guest) => shortOf(guest) !== '');
  const isAnyRefused = guests.some(({ framesRefused }) => framesRefused > 0);
  return table(
    [
      { title: 'guest', isWhole: true },
      { title: 'name', leftOut: 5 },
      { title: 'MAC', leftOut: 4 },
      'link',
      { title: 'attached', leftOut: 3 },
      { title: 'to host', leftOut: 1 },
      { title: 'to guest', leftOut: 2 },
      ...(isAnyRefused ? ['frames refused'] : []),
      ...(isAnyShort ? ['ran short of'] : []),
    ],
    guests.map((guest) => [
      orDash(guest.addresses.join('\n')),
      orDash(guest.hostname),
      guest.mac,
      guest.link ?? 'detached',
      guest.attachedMs === null ? '-' : formatDuration(guest.attachedMs),
      formatBytes(guest.bytesToHost),
      formatBytes(guest.bytesToGuest),
      ...(isAnyRefused ? [String(guest.framesRefused)] : []),
      ...(isAnyShort ? [orDash(shortOf(guest))] : []),
    ]),
  );
}

/** Budgets of which it was refused more, or had to give some to another. */
const shortOf = ({ shares }: GuestView): string =>
  Object.entries(shares)
    .filter(([, { refused, evicted }]) => refused + evicted > 0)
    .map(([name]) => name)
    .join('\n');

export async function leasesCommand(request: InspectRequest): Promise<string> {
  const answer = await clientOf(request).get('/v1/leases', leasesSchema);
  if (request.json) return toJson(answer);
  if (answer.leases.length === 0) return 'No leases.\n';
  return table(
    [{ title: 'address', isWhole: true }, { title: 'MAC', leftOut: 1 }, 'name', 'expires'],
    answer.leases.map(leaseRow),
  );
}

const leaseRow = (lease: LeaseView): string[] => [
  lease.address,
  lease.mac,
  orDash(lease.hostname),
  lease.static ? 'static' : orDash(lease.expiresAt),
];
