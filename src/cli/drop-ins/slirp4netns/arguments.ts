/** The command line of slirp4netns 1.3: what it asks for, and what is wrong with it. */
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

/** Where the TAP is, or what is there in its place. */
export type SlirpTarget =
  | { readonly kind: 'pid'; readonly pid: number; readonly tapName: string }
  | { readonly kind: 'path'; readonly path: string; readonly tapName: string }
  | { readonly kind: 'tapfd'; readonly fd: number }
  | { readonly kind: 'bess'; readonly path: string };

export interface SlirpRequest {
  readonly target: SlirpTarget;
  readonly usernsPath: string | undefined;
  readonly configure: boolean;
  readonly mac: string | undefined;
  readonly mtu: number;
  readonly cidr: SlirpCidr;
  readonly ipv6: boolean;
  readonly hostLoopback: boolean;
  readonly dns: boolean;
  readonly outbound: string | undefined;
  readonly outbound6: string | undefined;
  readonly sandbox: boolean;
  readonly exitFd: number | undefined;
  readonly readyFd: number | undefined;
  readonly apiSocket: string | undefined;
}

/** A network in text, and its parts. */
export interface SlirpCidr {
  readonly text: string;
  /** A uint32. */
  readonly base: number;
  readonly prefixLen: number;
}

export type SlirpCommand = Command<SlirpRequest>;

const SHAPES: readonly OptionShape[] = [
  flag('configure', 'c'),
  valued('exit-fd', 'e'),
  valued('ready-fd', 'r'),
  valued('mtu', 'm'),
  valued('cidr'),
  flag('disable-host-loopback'),
  flag('no-host-loopback'),
  valued('netns-type'),
  valued('userns-path'),
  valued('api-socket', 'a'),
  flag('enable-ipv6', '6'),
  flag('enable-sandbox'),
  flag('create-sandbox'),
  flag('enable-seccomp'),
  flag('help', 'h'),
  flag('version', 'v'),
  valued('outbound-addr'),
  valued('outbound-addr6'),
  flag('disable-dns'),
  valued('macaddress'),
  valued('target-type'),
];

const DEFAULT_MTU = 1_500;
const MTU_MAX = 65_521;
const DEFAULT_CIDR = '10.0.2.0/24';
/** The guest is at 100 of it. */
const PREFIX_MAX = 25;
const PREFIX_MIN = 8;
const FD_MAX = 1_048_575;
const PID_MAX = 4_194_304;

export const parseSlirpArguments = (argv: readonly string[]): SlirpCommand =>
  readCommand(SHAPES, argv, requestOf);

function requestOf({ options, operands }: CommandWords): SlirpRequest {
  const given = (...names: readonly string[]): boolean =>
    options.some(({ name }) => names.includes(name));
  const value = (wanted: string): string | undefined =>
    options.findLast(({ name }) => name === wanted)?.value;
  const number = (name: string, min: number, max: number): number | undefined => {
    const text = value(name);
    return text === undefined ? undefined : integerOf(`--${name}`, text, min, max);
  };
  const configure = given('configure');
  const mac = value('macaddress');
  if (mac !== undefined && !configure) {
    throw new BadArguments('--macaddress: needs --configure, by which the interface is set up');
  }
  return {
    target: targetOf(value('target-type') ?? 'netns', value('netns-type'), operands, {
      configure,
      usernsPath: value('userns-path'),
    }),
    usernsPath: value('userns-path'),
    configure,
    mac: mac === undefined ? undefined : macOf('--macaddress', mac),
    mtu: number('mtu', 1, MTU_MAX) ?? DEFAULT_MTU,
    cidr: cidrOf(value('cidr') ?? DEFAULT_CIDR),
    ipv6: given('enable-ipv6'),
    hostLoopback: !given('disable-host-loopback', 'no-host-loopback'),
    dns: !given('disable-dns'),
    outbound: outboundOf('outbound-addr', value('outbound-addr'), isIPv4),
    outbound6: outboundOf('outbound-addr6', value('outbound-addr6'), isIPv6),
    sandbox: given('enable-sandbox', 'create-sandbox', 'enable-seccomp'),
    exitFd: number('exit-fd', 0, FD_MAX),
    readyFd: number('ready-fd', 0, FD_MAX),
    apiSocket: value('api-socket'),
  };
}

function targetOf(
  type: string,
  netnsType: string | undefined,
  operands: readonly string[],
  { configure, usernsPath }: Pick<SlirpRequest, 'configure' | 'usernsPath'>,
): SlirpTarget {
  const [first = '', tapName] = operands;
  if (type === 'bess') {
    const odd = {
      '--configure': configure,
      '--netns-type': netnsType,
      '--userns-path': usernsPath,
    };
    const wrong = Object.entries(odd).find(([, set]) => set !== undefined && set !== false)?.[0];
    if (wrong !== undefined) throw new BadArguments(`${wrong} conflicts with --target-type=bess`);
    if (first === '' || operands.length > 1) {
      throw new BadArguments('--target-type=bess takes one operand, the path of the socket');
    }
    return { kind: 'bess', path: first };
  }
  if (type !== 'netns') {
    throw new BadArguments(`--target-type ${type}: must be netns or bess`);
  }
  if (netnsType === 'tapfd') return { kind: 'tapfd', fd: integerOf('TAPFD', first, 0, FD_MAX) };
  if (first === '' || tapName === undefined) {
    throw new BadArguments('two operands are needed: PID or PATH of the namespace, and TAPNAME');
  }
  switch (netnsType ?? 'pid') {
    case 'pid':
      return { kind: 'pid', pid: integerOf('PID', first, 1, PID_MAX), tapName };
    case 'path':
      return { kind: 'path', path: first, tapName };
    default:
      throw new BadArguments(`--netns-type ${netnsType}: must be pid, path or tapfd`);
  }
}

function cidrOf(text: string): SlirpCidr {
  const [, address = '', prefixText = ''] = /^([\d.]+)\/(\d{1,2})$/.exec(text) ?? [];
  if (!isIPv4(address)) throw new BadArguments(`--cidr ${text}: must be a network: 10.0.2.0/24`);
  const prefixLen = Number(prefixText);
  if (prefixLen < PREFIX_MIN || prefixLen > PREFIX_MAX) {
    const why = `its prefix length must be ${PREFIX_MIN} to ${PREFIX_MAX}`;
    throw new BadArguments(`--cidr ${text}: ${why}`);
  }
  const base = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  if (base % 2 ** (32 - prefixLen) !== 0) {
    throw new BadArguments(`--cidr ${text}: must be a network, not an address in it: 10.0.2.0/24`);
  }
  return { text, base, prefixLen };
}
