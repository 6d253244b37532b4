/** The command line of vpnkit: what it asks for, and what is wrong with it. */
import { isIPv4 } from 'node:net';
import type { GatewayForward } from '../../../network/gateway-forwards.ts';
import { parseDomain } from '../../../network/option-values.ts';
import { unixPathProblem } from '../../../transports/stream-address.ts';
import { BadArguments, type Command, integerOf, readCommand } from '../command-line.ts';
import type { CommandWords, OptionShape } from '../getopt.ts';

/** A Unix socket to listen on: a path, or a descriptor that listens already. */
export type ListeningPlace =
  | { readonly kind: 'path'; readonly path: string }
  | { readonly kind: 'fd'; readonly fd: number };

export interface VpnkitRequest {
  readonly ethernet: ListeningPlace;
  /** Of the control API. */
  readonly ports: readonly ListeningPlace[];
  /** Of the multiplexer to the virtual machine, which listens. */
  readonly muxPath: string | undefined;
  readonly gatewayIp: string;
  /** Undefined: the host's loopback is closed. */
  readonly hostIp: string | undefined;
  readonly lowestIp: string;
  readonly highestIp: string;
  readonly mtu: number;
  /** Of the gateway; undefined: hawser's own. */
  readonly serverMac: string | undefined;
  /** Names servers in the form of resolv.conf(5). */
  readonly dnsFile: string | undefined;
  readonly hostsFile: string | undefined;
  readonly hostNames: readonly string[];
  readonly gatewayNames: readonly string[];
  readonly vmNames: readonly string[];
  readonly domain: string | undefined;
  readonly dhcpFile: string | undefined;
  readonly forwards: readonly GatewayForward[];
  readonly forwardsFile: string | undefined;
  /** Names networks whose connections lead through Unix sockets. */
  readonly tunnelsFile: string | undefined;
  readonly allowedBindAddresses: readonly string[];
  /** Names the HTTP proxies of the host. */
  readonly httpFile: string | undefined;
  /** A socket on which they can be changed. */
  readonly httpApi: ListeningPlace | undefined;
  /** Sockets on which each client is sent the state of the network. */
  readonly diagnostics: readonly ListeningPlace[];
  /** Sockets on which each client is sent a capture. */
  readonly captures: readonly ListeningPlace[];
  /** Bytes of a frame that a capture has at most. */
  readonly snapLen: number;
  readonly isDebug: boolean;
  /** Options that were given and do nothing here, and why. */
  readonly withoutEffect: readonly string[];
}

export type VpnkitCommand = Command<VpnkitRequest>;

/** By the option: why it does nothing. */
const WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  'gc-compact-interval': 'there is no garbage collector to be asked',
  'listen-backlog': 'it is that of the system',
  'max-connections': 'guests share a limit of their own',
  'port-max-idle-time': 'idle connections are kept',
};

const FLAGS: readonly OptionShape[] = ['debug', 'help', 'version'].map((name) => ({
  name,
  takesValue: false,
}));
const VALUED: readonly OptionShape[] = [
  ...['ethernet', 'port', 'vsock-path', 'port-forwards', 'introspection', 'diagnostics'],
  ...['pcap', 'pcap-snaplen'],
  ...[
    'http',
    'http-api-path',
    'dns',
    'hosts',
    'host-names',
    'gateway-names',
    'vm-names',
    'domain',
    'dhcp-path',
  ],
  ...[
    'gateway-ip',
    'host-ip',
    'lowest-ip',
    'highest-ip',
    'mtu',
    'server-macaddr',
    'allowed-bind-addresses',
  ],
  ...['tcpv4-forwards', 'udpv4-forwards', 'gateway-forwards', 'forwards'],
  ...Object.keys(WITHOUT_EFFECT),
].map((name) => ({ name, takesValue: true }));

const MTU_MAX = 65_520;
const MTU_MIN = 576;
const FD_MAX = 1_048_575;
const SNAP_LEN_MAX = 262_144;
const PORT_MAX = 65_535;

export const parseVpnkitArguments = (argv: readonly string[]): VpnkitCommand =>
  readCommand([...FLAGS, ...VALUED], argv, requestOf);

function requestOf({ options, operands }: CommandWords): VpnkitRequest {
  const [odd] = operands;
  if (odd !== undefined) throw new BadArguments(`"${odd}" is not expected`);
  const all = (name: string): string[] =>
    options.filter((one) => one.name === name).map(({ value }) => value);
  /** The last, unless it is empty. */
  const text = (name: string): string | undefined => all(name).at(-1) || undefined;
  const address = (name: string, byDefault: string): string => {
    const value = text(name) ?? byDefault;
    if (isIPv4(value)) return value;
    throw new BadArguments(`--${name} ${value}: must be an IPv4 address`);
  };
  const names = (name: string, byDefault: string): string[] =>
    listOf(all(name).at(-1) ?? byDefault).map((one) => nameOf(`--${name}`, one));
  const ethernet = text('ethernet');
  if (ethernet === undefined) {
    throw new BadArguments('Please provide an --ethernet argument');
  }
  const hostIp = address('host-ip', '192.168.65.2');
  const bind = all('allowed-bind-addresses').at(-1) ?? '0.0.0.0';
  return {
    ethernet: placeOf('--ethernet', ethernet),
    ports: all('port').map((value) => placeOf('--port', value)),
    muxPath: muxPathOf(text('port-forwards') ?? text('vsock-path')),
    gatewayIp: address('gateway-ip', '192.168.65.1'),
    hostIp: hostIp === '0.0.0.0' ? undefined : hostIp,
    lowestIp: address('lowest-ip', '192.168.65.3'),
    highestIp: address('highest-ip', '192.168.65.254'),
    mtu: integerOf('--mtu', text('mtu') ?? '1500', MTU_MIN, MTU_MAX),
    serverMac: text('server-macaddr'),
    dnsFile: text('dns'),
    hostsFile: (all('hosts').at(-1) ?? '/etc/hosts') || undefined,
    hostNames: names('host-names', 'host.internal'),
    gatewayNames: names('gateway-names', 'gateway.internal'),
    vmNames: names('vm-names', 'vm.internal'),
    domain: text('domain'),
    dhcpFile: text('dhcp-path'),
    forwards: [
      ...all('tcpv4-forwards').flatMap((value) => forwardsOf('tcp', value)),
      ...all('udpv4-forwards').flatMap((value) => forwardsOf('udp', value)),
    ],
    forwardsFile: text('gateway-forwards'),
    tunnelsFile: text('forwards'),
    allowedBindAddresses: listOf(bind).map((one) => {
      if (isIPv4(one)) return one;
      throw new BadArguments(`--allowed-bind-addresses ${one}: must be an IPv4 address`);
    }),
    diagnostics: ['diagnostics', 'introspection'].flatMap((name) =>
      all(name).map((value) => placeOf(`--${name}`, value)),
    ),
    captures: all('pcap').map((value) => placeOf('--pcap', value)),
    snapLen: integerOf('--pcap-snaplen', text('pcap-snaplen') ?? '128', 1, SNAP_LEN_MAX),
    httpFile: text('http'),
    httpApi: httpApiOf(text('http-api-path')),
    isDebug: options.some(({ name }) => name === 'debug'),
    withoutEffect: Object.entries(WITHOUT_EFFECT)
      .filter(([name]) => text(name) !== undefined)
      .map(([name, why]) => `--${name}: ${why}`),
  };
}

function nameOf(option: string, text: string): string {
  const parsed = parseDomain(text);
  if ('problem' in parsed) throw new BadArguments(`${option} ${text}: ${parsed.problem}`);
  return text;
}

const listOf = (text: string): string[] =>
  text
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '');

function placeOf(option: string, text: string): ListeningPlace {
  if (text.startsWith('fd:')) {
    return { kind: 'fd', fd: integerOf(option, text.slice('fd:'.length), 0, FD_MAX) };
  }
  return { kind: 'path', path: pathOf(option, text) };
}

/** A path, also as a URL. */
function pathOf(option: string, text: string): string {
  const path = text.replace(/^(unix|file):\/\//, '');
  const isPath = path !== '' && !/^[a-z-]+:/.test(path);
  const problem = isPath ? unixPathProblem(path) : undefined;
  if (problem !== undefined) throw new BadArguments(`${option} ${text}: ${problem}`);
  if (isPath) return path;
  throw new BadArguments(`${option} ${text}: must be the path of a Unix socket`);
}

const muxPathOf = (text: string | undefined): string | undefined =>
  text === undefined ? undefined : pathOf('--port-forwards', text);

const httpApiOf = (text: string | undefined): ListeningPlace | undefined =>
  text === undefined ? undefined : placeOf('--http-api-path', text);

/** `PORT:IP:PORT,...` */
function forwardsOf(protocol: GatewayForward['protocol'], text: string): GatewayForward[] {
  return listOf(text).map((one) => {
    const [port = '', address = '', addressPort = '', more] = one.split(':');
    const option = `--${protocol}v4-forwards`;
    if (!isIPv4(address) || more !== undefined) {
      throw new BadArguments(`${option} ${one}: must be PORT:IP:PORT, such as 80:127.0.0.1:8080`);
    }
    return {
      protocol,
      port: integerOf(option, port, 1, PORT_MAX),
      address,
      addressPort: integerOf(option, addressPort, 1, PORT_MAX),
    };
  });
}
