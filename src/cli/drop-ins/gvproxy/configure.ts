/**
 * From gvproxy's command line and its YAML file to its configuration, as `GvproxyConfigure` of `cmd/gvproxy/config.go`
 * does: the command line wins where it has a say, and without a file there are default names, forwards and leases.
 *
 * Differences: `-pcap`, `-ec2-metadata-access` and either form of the notification socket have their effect with a file
 * and without; an IPv6 subnet is an error.
 */
import { formatIpv4 } from '../../../base/ip-address.ts';
import { GATEWAY_MAC } from '../../../network/effective-config.ts';
import { RunError } from '../../../network/errors.ts';
import {
  firstUsable,
  formatNetwork,
  type Ipv4Network,
  ipv4Number,
  isUsable,
  lastUsable,
  parseIpv4,
  parseNetwork,
} from '../../../network/ipv4-text.ts';
import type { GoFlagValues } from '../go-flags.ts';
import type {
  FileStack,
  GvproxyConfig,
  GvproxyFile,
  GvproxyZone,
  SshForward,
  StackConfig,
} from './configuration.ts';
import { DEFAULT_LOG_LEVEL } from './log-level.ts';
import { withoutEffect } from './without-effect.ts';

const DEVICE_MAC = '5a:94:ef:e4:0c:ee';
/** That of the machines which Hyperkit starts. */
const VPNKIT_UUID = 'c3d68012-0208-11ea-9fd7-f2189899ab08';
const LOOPBACK = '127.0.0.1';
const ZONES = ['containers.internal.', 'docker.internal.'];
const DEFAULT_MTU = 1500;
const MTU_MAX = 2 ** 31 - 1;

/** What gvproxy looks for in the file system. */
export interface Places {
  exists(path: string): boolean;
}

/**
 * @param file undefined: none was named
 * @throws RunError
 */
export function configure(
  flags: GoFlagValues,
  file: GvproxyFile | undefined,
  places: Places,
): GvproxyConfig {
  const given = file ?? {};
  const pick = (flag: string, key: string | null | undefined): string =>
    flags.text(flag) || (key ?? '');
  const stack = stackOf(flags, file);
  const config: GvproxyConfig = {
    listen: flags.texts('listen').length > 0 ? flags.texts('listen') : (given.listen ?? []),
    logLevel: flags.isTrue('debug') ? 'debug' : given['log-level'] || DEFAULT_LOG_LEVEL,
    logFile: pick('log-file', given['log-file']),
    pidFile: pick('pid-file', given['pid-file']),
    services: pick('services', given.services),
    notification: notificationPath(flags.text('notification'), given.notification ?? ''),
    interfaces: {
      vpnkit: pick('listen-vpnkit', given.interfaces?.vpnkit),
      qemu: pick('listen-qemu', given.interfaces?.qemu),
      bess: pick('listen-bess', given.interfaces?.bess),
      stdio: pick('listen-stdio', given.interfaces?.stdio),
      vfkit: pick('listen-vfkit', given.interfaces?.vfkit),
    },
    forwards: [...fileForwards(given), ...flagForwards(flags)],
    stack,
    withoutEffect: withoutEffect(flags, file, stack.deviceIP),
  };
  checkInterfaces(config.interfaces);
  for (const { identity } of config.forwards) {
    if (places.exists(identity)) continue;
    throw new RunError(
      `identity file "${identity}" can't be loaded: stat ${identity}: no such file or directory`,
    );
  }
  return config;
}

function notificationPath(flag: string, key: string): string {
  if (flag === '') return key.replace(/^unix:\/\//, '');
  if (!flag.startsWith('unix://')) {
    throw new RunError('notification listen address must be unix:// address');
  }
  return flag.slice('unix://'.length);
}

function stackOf(flags: GoFlagValues, file: GvproxyFile | undefined): StackConfig {
  const given: FileStack = file?.stack ?? {};
  const subnetText = given.subnet || flags.text('subnet');
  const network = maskedNetwork(subnetText);
  const addresses = {
    gatewayIP: given.gatewayIP || flags.text('gatewayIP') || firstUsable(network),
    deviceIP: given.deviceIP || flags.text('deviceIP') || formatIpv4(network.base + 2),
    hostIP: given.hostIP || flags.text('hostIP') || lastUsable(network),
  };
  checkAddresses(network, addresses);
  const { gatewayIP, deviceIP, hostIP } = addresses;
  const isDebug = flags.isTrue('debug') || (file?.['log-level'] ?? '').toLowerCase() === 'debug';
  const hasFile = file !== undefined;
  return {
    debug: isDebug || (given.debug ?? false),
    captureFile: flags.text('pcap') || (given['capture-file'] ?? ''),
    mtu: mtuOf(flags.integer('mtu') || (given.mtu ?? 0) || DEFAULT_MTU),
    subnet: subnetText,
    ...addresses,
    gatewayMacAddress: given.gatewayMacAddress || GATEWAY_MAC,
    dns: hasFile ? zonesOf(given) : ZONES.map((name) => defaultZone(name, gatewayIP, hostIP)),
    dnsSearchDomains: hasFile ? (given.dnsSearchDomains ?? []) : undefined,
    forwards: hasFile ? (given.forwards ?? {}) : defaultForwards(flags, deviceIP),
    nat: orDefault(given.nat, { [hostIP]: LOOPBACK }),
    gatewayVirtualIPs: given.gatewayVirtualIPs?.length ? given.gatewayVirtualIPs : [hostIP],
    dhcpStaticLeases: hasFile ? (given.dhcpStaticLeases ?? {}) : { [deviceIP]: DEVICE_MAC },
    vpnKitUUIDMacAddresses: hasFile
      ? (given.vpnKitUUIDMacAddresses ?? {})
      : { [VPNKIT_UUID]: DEVICE_MAC },
    ec2MetadataAccess:
      flags.isTrue('ec2-metadata-access') ||
      file?.['ec2-metadata-access'] === true ||
      given.ec2MetadataAccess === true,
  };
}

const orDefault = (
  map: Readonly<Record<string, string>> | null | undefined,
  byDefault: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> =>
  map === null || map === undefined || Object.keys(map).length === 0 ? byDefault : map;

/** As Go masks it: bits behind the prefix have no meaning. */
export function maskedNetwork(text: string): Ipv4Network {
  const [, address = '', bitsText = ''] = /^([\d.]+)\/(\d{1,2})$/.exec(text) ?? [];
  const bits = Number(bitsText);
  if (bitsText === '' || bits > 32 || 'problem' in parseIpv4(address)) {
    const why = text.includes(':') ? 'IPv6 is made beside it' : 'no "/", or no such address';
    throw new RunError(
      `failed to parse subnet: "${text}" must be an IPv4 network such as 192.168.127.0/24: ${why}`,
    );
  }
  if (bits > 29) {
    throw new RunError('failed to identify usable gateway IP address in subnet: subnet too small');
  }
  const size = 2 ** (32 - bits);
  const base = ipv4Number(address) - (ipv4Number(address) % size);
  const network = parseNetwork(formatNetwork({ base, prefix: bits }));
  if ('value' in network) return network.value;
  throw new RunError(`failed to parse subnet: "${text}" ${network.problem}`);
}

function checkAddresses(network: Ipv4Network, addresses: Readonly<Record<string, string>>): void {
  const fail = (why: string): never => {
    throw new RunError(`failed to validate configuration IPs: ${why}`);
  };
  const subnet = formatNetwork(network);
  const size = 2 ** (32 - network.prefix);
  const all = Object.values(addresses);
  for (const ip of all) {
    if ('problem' in parseIpv4(ip)) fail(`invalid IP address: ${ip}`);
    const offset = ipv4Number(ip) - network.base;
    if (offset < 0 || offset >= size) fail(`IP (${ip}) not in subnet (${subnet})`);
    if (offset === 0) fail(`IP must not be address of subnet: ${ip}`);
    if (!isUsable(network, ip)) fail(`IP must not be broadcast address: ${ip}`);
  }
  if (new Set(all).size !== all.length) fail('IP addresses need to be distinct');
}

function mtuOf(mtu: number): number {
  if (mtu < 0 || mtu > MTU_MAX) throw new RunError('mtu is out of range');
  return mtu;
}

function defaultForwards(flags: GoFlagValues, deviceIP: string): Readonly<Record<string, string>> {
  const port = flags.integer('ssh-port');
  if (port === -1) return {};
  if (port < 1024 || port > 65_535) {
    throw new RunError('ssh-port value must be between 1024 and 65535');
  }
  return { [`${LOOPBACK}:${port}`]: `${deviceIP}:22` };
}

const defaultZone = (name: string, gatewayIP: string, hostIP: string): GvproxyZone => ({
  name,
  records: [
    { name: 'gateway', ip: gatewayIP, regexp: undefined },
    { name: 'host', ip: hostIP, regexp: undefined },
  ],
  defaultIP: '',
});

const zonesOf = ({ dns }: FileStack): readonly GvproxyZone[] =>
  (dns ?? []).map(({ name, records, defaultIP }) => ({
    name: name ?? '',
    records: (records ?? []).map((record) => ({
      name: record.name ?? '',
      ip: record.ip ?? '',
      regexp: record.regexp ?? undefined,
    })),
    defaultIP: defaultIP ?? '',
  }));

const fileForwards = ({ forwards }: GvproxyFile): SshForward[] =>
  (forwards ?? []).map(({ socket, dest, user, identity }) => ({
    socket: socket ?? '',
    dest: dest ?? '',
    user: user ?? '',
    identity: identity ?? '',
  }));

function flagForwards(flags: GoFlagValues): SshForward[] {
  const sockets = flags.texts('forward-sock');
  const [dests, users, identities] = ['dest', 'user', 'identity'].map((name) =>
    flags.texts(`forward-${name}`),
  );
  if ([dests, users, identities].some((list) => list?.length !== sockets.length)) {
    throw new RunError(
      '--forward-sock, --forward-dest, --forward-user, and --forward-identity must all be specified together, the same number of times, or not at all',
    );
  }
  return sockets.map((socket, i) => ({
    socket,
    dest: dests?.[i] ?? '',
    user: users?.[i] ?? '',
    identity: identities?.[i] ?? '',
  }));
}

/** Interfaces that have one scheme only. */
const SCHEMES = [
  ['bess', 'unixpacket'],
  ['vfkit', 'unixgram'],
] as const;

const TOGETHER = [
  ['vpnkit', 'qemu', 'cannot use qemu and vpnkit protocol at the same time'],
  ['vpnkit', 'bess', 'cannot use bess and vpnkit protocol at the same time'],
  ['qemu', 'bess', 'cannot use qemu and bess protocol at the same time'],
] as const;

function checkInterfaces(interfaces: GvproxyConfig['interfaces']): void {
  for (const [name, scheme] of SCHEMES) {
    const url = interfaces[name];
    if (url === '' || url.startsWith(`${scheme}://`)) continue;
    throw new RunError(`${name} listen address must be ${scheme}:// address`);
  }
  for (const [one, other, why] of TOGETHER) {
    if (interfaces[one] !== '' && interfaces[other] !== '') throw new RunError(why);
  }
}
