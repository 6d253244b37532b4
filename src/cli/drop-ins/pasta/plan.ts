/** From what a command line of pasta asks for to options of the daemon, and to the TAP that is made first. */

import { isIPv6 } from 'node:net';
import { ipv4 } from '../../../base/ip-address.ts';
import { absolute } from '../../../native/current-directory.ts';
import { tapAddress } from '../../../native/tap-address.ts';
import type { CommandLine } from '../../config.ts';
import type { GivenWords } from '../../given-words.ts';
import { type HostInterfaces, type PlannedTap, sourcesOf } from '../planned-tap.ts';
import type { PastaPort, PastaRequest } from './arguments.ts';

/** Not the host's, as with pasta: it could not be reached by its own address then. */
const DEFAULT_ADDRESS = '10.0.2.100';
const DEFAULT_PREFIX_LEN = 24;
/** Counted from the start of the network. */
const GATEWAY = 2;
const DEFAULT_NAME = 'eth0';

export interface PastaPlan {
  /** Keys and values as those of `hawser run`. */
  readonly options: CommandLine;
  /** What was given for them. */
  readonly words: GivenWords;
  readonly tap: PlannedTap;
  /** The host is known by its own address, not by its loopback. */
  readonly leadsToHostAddress: boolean;
  readonly withoutEffect: readonly string[];
}

/** @throws UsageError */
export function planPasta(request: PastaRequest, host: HostInterfaces): PastaPlan {
  const { hostLoopback, hostAddress, target, logFile, pcapFile, pidFile } = request;
  const network = networkOf(request);
  const { guest, gateway, prefixLen, subnet } = network;
  const netns = target.kind === 'pid' ? `/proc/${target.pid}/ns/net` : absolute(target.path);
  const name = request.tapName ?? DEFAULT_NAME;
  const mac = macOfGuest(request, name, netns);
  const loopback = hostLoopback === 'gateway' ? gateway : hostLoopback;
  const sources = sourcesOf(
    [
      { option: '--outbound-if4', text: request.outbound, family: 4 },
      { option: '--outbound-if6', text: request.outbound6, family: 6 },
    ],
    host,
  );
  const options: CommandLine = {
    name: `pasta-${host.pid}`,
    listen: [`tap:${name}@${netns}`],
    subnet,
    gateway,
    hostIp: loopback ?? hostAddress ?? 'none',
    ipv6: request.ipv6 ? 'auto' : 'off',
    ...(request.dns.length === 0 ? {} : { dnsAddress: request.dns }),
    ...(sources.length === 0 ? {} : { outboundAddress: sources }),
    ...(request.gatewayMac === undefined ? {} : { gatewayMac: request.gatewayMac }),
    mtu: `${request.mtu}`,
    staticLease: [`${mac}=${guest}`],
    trustGuests: true, // there is one
    publish: request.ports.map((port) => publication(port, mac)),
    exitWithGuest: true,
    guestTimeout: '0',
    sandbox: 'on',
    logLevel: request.logLevel,
    ...(logFile === undefined ? {} : { logFile: absolute(logFile) }),
    ...(pcapFile === undefined ? {} : { pcap: absolute(pcapFile) }),
    ...(pidFile === undefined ? {} : { pidFile: absolute(pidFile) }),
  };
  const tap: PlannedTap = {
    place: { netns, userns: usernsOf(request) },
    name,
    mtu: request.mtu,
    mac: request.mac,
    configure: request.configure,
    address: ipv4(wordOf(guest)),
    prefixLen,
    gateway: ipv4(wordOf(gateway)),
  };
  const isLeft = loopback !== undefined && hostAddress !== undefined;
  const left = `--map-guest-addr: ${loopback} is the host already`;
  return {
    options,
    words: wordsOf(request),
    tap,
    leadsToHostAddress: loopback === undefined && hostAddress !== undefined,
    withoutEffect: isLeft ? [...request.withoutEffect, left] : request.withoutEffect,
  };
}

interface GuestNetwork {
  readonly guest: string;
  readonly gateway: string;
  readonly prefixLen: number;
  readonly subnet: string;
}

function networkOf({ address, prefixLen, gateway }: PastaRequest): GuestNetwork {
  const guest = address ?? DEFAULT_ADDRESS;
  const bits = prefixLen ?? DEFAULT_PREFIX_LEN;
  const base = wordOf(guest) & (-1 << (32 - bits));
  const second = base + GATEWAY;
  const byDefault = ipv4((second === wordOf(guest) ? base + 1 : second) | 0).toString();
  return {
    guest,
    gateway: gateway ?? byDefault,
    prefixLen: bits,
    subnet: `${ipv4(base)}/${bits}`,
  };
}

const wordOf = (text: string): number =>
  text.split('.').reduce((sum, part) => (sum << 8) | Number(part), 0);

function usernsOf({ target, usernsPath }: PastaRequest): string | undefined {
  if (usernsPath !== undefined) return absolute(usernsPath);
  return target.kind === 'pid' ? `/proc/${target.pid}/ns/user` : undefined;
}

/**
 * Ports lead to the guest by its Ethernet address, to its address of the client's family. An interface that was there
 * already has another: then they lead to the address of the lease, which the guest may use with any.
 */
const macOfGuest = ({ configure, mac }: PastaRequest, name: string, netns: string): string =>
  (configure ? mac : undefined) ??
  Buffer.from(tapAddress(name, netns))
    .toString('hex')
    .replace(/..(?!$)/g, '$&:');

/** Of options whose names or values are not those of pasta. */
function wordsOf(request: PastaRequest): GivenWords {
  const { address, prefixLen, gateway, hostLoopback, hostAddress, dns, ports } = request;
  const option = (name: string, text: string | undefined): string[] =>
    text === undefined ? [] : [`--${name} ${text}`];
  const guest = option('address', address);
  const network = [...guest, ...option('netmask', prefixLen?.toString())].join(' ');
  const hosts = [
    ...option('map-host-loopback', hostLoopback === 'gateway' ? undefined : hostLoopback),
    ...option('map-guest-addr', hostAddress),
  ];
  const router = option('gateway', gateway)[0] ?? network;
  const words = {
    subnet: network,
    gateway: router,
    hostIp: hosts[0] ?? router,
    staticLease: guest[0] ?? network,
  };
  return {
    ...Object.fromEntries(Object.entries(words).filter(([, text]) => text !== '')),
    dnsAddress: dns.map((text) => `--dns-forward ${text}`),
    gatewayMac: option('mac-addr', request.gatewayMac)[0],
    publish: ports.map((port) => port.words),
    pcap: option('pcap', request.pcapFile)[0],
    pidFile: option('pid', request.pidFile)[0],
  };
}

function publication({ protocol, hostAddress, host, guest }: PastaPort, to: string): string {
  const at =
    hostAddress === undefined ? '*' : isIPv6(hostAddress) ? `[${hostAddress}]` : hostAddress;
  return `${at}:${host}:${to}:${guest}/${protocol}`;
}
