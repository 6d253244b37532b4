/** From what a command line of vpnkit asks for to options of the daemon. */
import { UsageError } from '../../../network/errors.ts';
import type { CommandLine } from '../../config.ts';
import type { GivenWords } from '../../given-words.ts';
import type { ListeningPlace, VpnkitRequest } from './arguments.ts';

/** vpnkit's `--dhcp-path`. */
export interface DhcpFile {
  readonly domainName?: string | undefined;
  readonly searchDomains?: readonly string[] | undefined;
}

export interface VpnkitHost {
  /** Of this process: the instance's name is its own. */
  readonly pid: number;
  /** The path of the socket that listens on a descriptor. @throws Error when there is none */
  listenerPath(fd: number): string;
}

export interface VpnkitPlan {
  /** Keys and values as those of `hawser run`. */
  readonly options: CommandLine;
  /** What was given for them. */
  readonly words: GivenWords;
  readonly paths: VpnkitPaths;
}

/** Of the sockets that are served beside the link. */
export interface VpnkitPaths {
  readonly apis: readonly string[];
  readonly diagnostics: readonly string[];
  readonly captures: readonly string[];
  readonly httpApi: string | undefined;
}

/** The smallest network that vpnkit's clients are ever told. */
const LONGEST_PREFIX = 24;
const SHORTEST_PREFIX = 8;

/** @throws UsageError */
export function planVpnkit(request: VpnkitRequest, dhcp: DhcpFile, host: VpnkitHost): VpnkitPlan {
  const { gatewayIp, hostIp, lowestIp, highestIp } = request;
  const pathOf = (place: ListeningPlace): string =>
    place.kind === 'path' ? place.path : host.listenerPath(place.fd);
  const names = namesOf(request);
  const domain = request.domain ?? dhcp.domainName;
  const search = [...(domain === undefined ? [] : [domain]), ...(dhcp.searchDomains ?? [])];
  const options: CommandLine = {
    name: `vpnkit-${host.pid}`,
    listen: [`vpnkit:${pathOf(request.ethernet)}`],
    subnet: subnetOf([gatewayIp, ...(hostIp === undefined ? [] : [hostIp]), lowestIp, highestIp]),
    gateway: gatewayIp,
    hostIp: hostIp ?? 'none',
    dhcpRange: `${lowestIp}-${highestIp}`,
    mtu: `${request.mtu}`,
    ...(request.serverMac === undefined ? {} : { gatewayMac: request.serverMac }),
    dnsZone: names.map(({ name, address }) => `${name}=${address}`),
    ...(search.length === 0 ? {} : { dnsSearch: search }),
    ...(request.dnsFile === undefined ? {} : { resolvConf: request.dnsFile }),
    ...(request.hostsFile === undefined ? {} : { hosts: request.hostsFile }),
    ...(request.muxPath === undefined ? {} : { mux: [`connect:unix:${request.muxPath}`] }),
    ...(request.isDebug ? { logLevel: 'debug' } : {}),
  };
  const searchWords = search.map((text, i) =>
    i === 0 && request.domain !== undefined
      ? `--domain ${text}`
      : `--dhcp-path ${request.dhcpFile}: ${text}`,
  );
  const words = { ...wordsOf(request), dnsSearch: searchWords };
  const { ports, diagnostics, captures, httpApi } = request;
  const paths = {
    apis: ports.map(pathOf),
    diagnostics: diagnostics.map(pathOf),
    captures: captures.map(pathOf),
    httpApi: httpApi && pathOf(httpApi),
  };
  return { options, words, paths };
}

function namesOf({ gatewayNames, gatewayIp, hostNames, hostIp, vmNames, lowestIp }: VpnkitRequest) {
  const named = (names: readonly string[], address: string | undefined) =>
    address === undefined ? [] : names.map((name) => ({ name, address }));
  return [
    ...named(gatewayNames, gatewayIp),
    ...named(hostNames, hostIp),
    ...named(vmNames, lowestIp),
  ];
}

/** Of options whose names or values are not those of vpnkit. */
function wordsOf(request: VpnkitRequest): GivenWords {
  const { gatewayIp, hostIp, lowestIp, highestIp, muxPath, ethernet } = request;
  const { dnsFile, hostsFile } = request;
  return {
    listen: [`--ethernet ${ethernet.kind === 'path' ? ethernet.path : `fd:${ethernet.fd}`}`],
    subnet: `--gateway-ip ${gatewayIp} --lowest-ip ${lowestIp} --highest-ip ${highestIp}`,
    gateway: `--gateway-ip ${gatewayIp}`,
    hostIp: `--host-ip ${hostIp ?? '0.0.0.0'}`,
    dhcpRange: `--lowest-ip ${lowestIp} --highest-ip ${highestIp}`,
    gatewayMac: `--server-macaddr ${request.serverMac}`,
    ...(muxPath === undefined ? {} : { mux: `--port-forwards ${muxPath}` }),
    ...(dnsFile === undefined ? {} : { resolvConf: `--dns ${dnsFile}` }),
    ...(hostsFile === undefined ? {} : { hosts: `--hosts ${hostsFile}` }),
  };
}

/** @throws UsageError where the addresses are too far from each other */
function subnetOf(addresses: readonly string[]): string {
  const words = addresses.map((text) =>
    text.split('.').reduce((word, byte) => word * 256 + Number(byte), 0),
  );
  const [first = 0] = words;
  for (let bits = LONGEST_PREFIX; bits >= SHORTEST_PREFIX; bits--) {
    const size = 2 ** (32 - bits);
    const base = first - (first % size);
    if (words.every((word) => word >= base && word < base + size)) {
      return `${[24, 16, 8, 0].map((shift) => Math.floor(base / 2 ** shift) % 256).join('.')}/${bits}`;
    }
  }
  const all = addresses.join(', ');
  throw new UsageError([
    `--gateway-ip, --host-ip, --lowest-ip, --highest-ip: no network has ${all}`,
  ]);
}
