/** The command line of pasta, as podman 5 and RootlessKit use it: what it asks for, and what is wrong with it. */
import { isIPv4, isIPv6 } from 'node:net';
import {
  BadArguments,
  type Command,
  integerOf,
  macOf,
  outboundOf,
  readCommand,
} from '../command-line.ts';
import { type CommandWords, flag, type OptionShape, valued } from '../getopt.ts';

export type PastaTarget =
  | { readonly kind: 'pid'; readonly pid: number }
  | { readonly kind: 'path'; readonly path: string };

export interface PastaRequest {
  readonly target: PastaTarget;
  readonly usernsPath: string | undefined;
  readonly tapName: string | undefined;
  readonly configure: boolean;
  readonly mtu: number;
  readonly mac: string | undefined;
  /** Of the gateway. */
  readonly gatewayMac: string | undefined;
  /** Of the guest. */
  readonly address: string | undefined;
  readonly prefixLen: number | undefined;
  readonly gateway: string | undefined;
  /** Where DNS is, one of each family. */
  readonly dns: readonly string[];
  /** Where the host's loopback is. Undefined: it is closed. */
  readonly hostLoopback: 'gateway' | string | undefined;
  /** Stands for the host's own address. */
  readonly hostAddress: string | undefined;
  /** Addresses, or names of interfaces. */
  readonly outbound: string | undefined;
  readonly outbound6: string | undefined;
  readonly ipv6: boolean;
  readonly ports: readonly PastaPort[];
  readonly pidFile: string | undefined;
  readonly logFile: string | undefined;
  readonly pcapFile: string | undefined;
  readonly logLevel: 'debug' | 'info' | 'warn';
  readonly isForeground: boolean;
  /** It ends with the namespace. */
  readonly endsWithNetns: boolean;
  readonly readyFd: number | undefined;
  /** Options that were given and do nothing here, and why. */
  readonly withoutEffect: readonly string[];
}

/** Ports of the host that lead to the guest's. */
export interface PastaPort {
  /** As it was given: the option and all of its value. */
  readonly words: string;
  readonly protocol: 'tcp' | 'udp';
  /** Undefined: any. */
  readonly hostAddress: string | undefined;
  /** `PORT` or `FIRST-LAST`. */
  readonly host: string;
  readonly guest: string;
}

export type PastaCommand = Command<PastaRequest>;

/** Of these the last of each family counts. */
const OF_IPV4_ALONE = ['address', 'gateway', 'map-guest-addr', 'map-host-loopback'];

/** By the option: why it does nothing. */
const FLAGS_WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  'dhcp-dns': 'DHCP tells of DNS always',
  'dhcp-search': 'DHCP tells of search domains always',
  freebind: 'addresses to bind must be those of the host',
  'netns-only': 'a user namespace is entered where it has to be',
  'no-copy-addrs': 'addresses of the host are not copied',
  'no-copy-routes': 'routes of the host are not copied',
  'no-dhcp': 'it is served',
  'no-dhcpv6': 'it is served',
  'no-ndp': 'it is served',
  'no-ra': 'it is served',
  'no-splice': 'loopback to loopback is no way of its own',
  stderr: 'messages go there',
};
const VALUES_WITHOUT_EFFECT: Readonly<
  Record<string, readonly [short: string | undefined, string]>
> = {
  dns: ['D', 'see --dns-forward'],
  'dns-host': [undefined, 'the servers of the host are asked'],
  interface: ['i', 'addresses of the host are not copied'],
  'log-size': [undefined, 'the file is not cut'],
  runas: [undefined, 'it stays the user that it is'],
  search: ['S', 'the search domains of the host are passed on'],
};

const SHORT: Readonly<Record<string, string>> = { stderr: 'e' };

const SHAPES: readonly OptionShape[] = [
  flag('debug', 'd'),
  flag('trace'),
  flag('quiet', 'q'),
  flag('foreground', 'f'),
  flag('help', 'h'),
  flag('version'),
  flag('config-net'),
  flag('ipv4-only', '4'),
  flag('ipv6-only', '6'),
  flag('no-map-gw'),
  flag('no-netns-quit'),
  ...Object.keys(FLAGS_WITHOUT_EFFECT).map((name) => flag(name, SHORT[name])),
  valued('log-file', 'l'),
  valued('ns-ifname', 'I'),
  valued('pcap', 'p'),
  valued('pid', 'P'),
  valued('mtu', 'm'),
  valued('address', 'a'),
  valued('netmask', 'n'),
  valued('gateway', 'g'),
  valued('mac-addr', 'M'),
  valued('ns-mac-addr'),
  valued('outbound', 'o'),
  valued('outbound-if4'),
  valued('outbound-if6'),
  valued('dns-forward'),
  valued('map-host-loopback'),
  valued('map-guest-addr'),
  valued('tcp-ports', 't'),
  valued('udp-ports', 'u'),
  valued('tcp-ns', 'T'),
  valued('udp-ns', 'U'),
  valued('userns'),
  valued('netns'),
  valued('ready-fd'),
  ...Object.entries(VALUES_WITHOUT_EFFECT).map(([name, [short]]) => valued(name, short)),
];

const MTU_MAX = 65_520;
const MTU_MIN = 576;
const PREFIX_MIN = 8;
const PREFIX_MAX = 29;
const FD_MAX = 1_048_575;
const PID_MAX = 4_194_304;
const PORTS = /^\d{1,5}(-\d{1,5})?$/;

export const parsePastaArguments = (argv: readonly string[]): PastaCommand =>
  readCommand(SHAPES, argv, requestOf);

function requestOf({ options, operands }: CommandWords): PastaRequest {
  const given = (...names: readonly string[]): boolean =>
    options.some(({ name }) => names.includes(name));
  const all = (wanted: string): string[] =>
    options.filter(({ name }) => name === wanted).map(({ value }) => value);
  const value = (wanted: string): string | undefined => all(wanted).at(-1) || undefined;
  const one = (wanted: string, isFamily: (text: string) => boolean): string | undefined =>
    all(wanted)
      .map((text) => addressOf(wanted, text))
      .findLast(isFamily);
  if (given('ipv6-only')) throw new BadArguments('--ipv6-only: guests have IPv4 always');
  for (const name of ['tcp-ns', 'udp-ns']) {
    const odd = all(name).find((spec) => spec !== 'none');
    if (odd !== undefined) {
      throw new BadArguments(
        `--${name} ${odd}: ports of the guest that lead to the host are not served`,
      );
    }
  }
  const guestAddress = one('map-guest-addr', isIPv4);
  const address = one('address', isIPv4);
  return {
    target: targetOf(value('netns'), operands),
    usernsPath: value('userns'),
    tapName: value('ns-ifname'),
    configure: given('config-net'),
    mtu: integerOf('--mtu', value('mtu') ?? `${MTU_MAX}`, MTU_MIN, MTU_MAX),
    mac: macOption('ns-mac-addr', value('ns-mac-addr')),
    gatewayMac: macOption('mac-addr', value('mac-addr')),
    address,
    prefixLen: prefixLenOf(value('netmask')),
    gateway: one('gateway', isIPv4),
    dns: [one('dns-forward', isIPv4), one('dns-forward', isIPv6)].filter(
      (text) => text !== undefined,
    ),
    hostLoopback: one('map-host-loopback', isIPv4) ?? (given('no-map-gw') ? undefined : 'gateway'),
    hostAddress: guestAddress,
    outbound: one('outbound', isIPv4) ?? outboundOf('outbound-if4', value('outbound-if4'), isIPv4),
    outbound6: one('outbound', isIPv6) ?? outboundOf('outbound-if6', value('outbound-if6'), isIPv6),
    ipv6: !given('ipv4-only'),
    ports: [
      ...all('tcp-ports').flatMap((spec) => portsOf('tcp', spec)),
      ...all('udp-ports').flatMap((spec) => portsOf('udp', spec)),
    ],
    pidFile: value('pid'),
    logFile: value('log-file'),
    pcapFile: value('pcap'),
    logLevel: given('debug', 'trace') ? 'debug' : given('quiet') ? 'warn' : 'info',
    isForeground: given('foreground'),
    endsWithNetns: !given('no-netns-quit'),
    readyFd:
      value('ready-fd') === undefined
        ? undefined
        : integerOf('--ready-fd', value('ready-fd') ?? '', 0, FD_MAX),
    withoutEffect: [
      ...withoutEffect(options.map(({ name }) => name)),
      ...OF_IPV4_ALONE.flatMap((name) => all(name).filter(isIPv6).map(ofIpv4Alone(name))),
    ],
  };
}

const ofIpv4Alone =
  (option: string) =>
  (text: string): string =>
    `--${option} ${text}: an address of IPv4 can be chosen; those of IPv6 are hawser's`;

function withoutEffect(names: readonly string[]): string[] {
  const whys = Object.entries({
    ...FLAGS_WITHOUT_EFFECT,
    ...Object.fromEntries(
      Object.entries(VALUES_WITHOUT_EFFECT).map(([name, [, why]]) => [name, why]),
    ),
  });
  return whys
    .filter(([name]) => name !== 'stderr' && names.includes(name))
    .map(([name, why]) => `--${name}: ${why}`);
}

/** A namespace by a name is one of ip-netns(8). */
function targetOf(netns: string | undefined, operands: readonly string[]): PastaTarget {
  const [pid, more] = operands;
  if (netns !== undefined) {
    if (pid !== undefined) throw new BadArguments(`--netns and ${pid}: only one can be given`);
    return { kind: 'path', path: netns.includes('/') ? netns : `/run/netns/${netns}` };
  }
  if (pid === undefined || more !== undefined || !/^\d+$/.test(pid)) {
    const why = 'a namespace must be there already, and a command is not started in one';
    throw new BadArguments(`PID or --netns PATH is needed: ${why}`);
  }
  return { kind: 'pid', pid: integerOf('PID', pid, 1, PID_MAX) };
}

function addressOf(option: string, text: string): string {
  if (isIPv4(text) || isIPv6(text)) return text;
  throw new BadArguments(`--${option} ${text}: must be an address`);
}

const macOption = (option: string, text: string | undefined): string | undefined =>
  text === undefined ? undefined : macOf(`--${option}`, text);

/** In bits, or as a mask. */
function prefixLenOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!isIPv4(text)) return integerOf('--netmask', text, PREFIX_MIN, PREFIX_MAX);
  const word = text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  const bits = Math.clz32(~word);
  const isMask = word === (bits === 0 ? 0 : (-1 << (32 - bits)) >>> 0);
  if (isMask && bits >= PREFIX_MIN && bits <= PREFIX_MAX) return bits;
  throw new BadArguments(
    `--netmask ${text}: must be a mask of ${PREFIX_MIN} to ${PREFIX_MAX} bits`,
  );
}

/** `none`, or `[ADDRESS/]PORTS[:PORTS],...` */
function portsOf(protocol: PastaPort['protocol'], spec: string): PastaPort[] {
  if (spec === 'none') return [];
  const option = `--${protocol}-ports`;
  const slash = spec.lastIndexOf('/');
  const hostAddress = slash < 0 ? undefined : spec.slice(0, slash).replace(/^\[|\]$/g, '');
  if (hostAddress !== undefined && !isIPv4(hostAddress) && !isIPv6(hostAddress)) {
    throw new BadArguments(`${option} ${spec}: ${hostAddress} must be an address`);
  }
  return spec
    .slice(slash + 1)
    .split(',')
    .map((part) => {
      const [host = '', guest = host, more] = part.split(':');
      if (!PORTS.test(host) || !PORTS.test(guest) || more !== undefined) {
        const form = 'none, or [ADDRESS/]PORTS[:PORTS],... with PORTS as 8080 or 8000-8010';
        throw new BadArguments(`${option} ${spec}: must be ${form}`);
      }
      return { words: `${option} ${spec}`, protocol, hostAddress, host, guest };
    });
}
