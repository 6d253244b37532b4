/** From what a command line of slirp4netns asks for to options of the daemon, and to the TAP that is made first. */
import { isIP } from 'node:net';
import { dirname, resolve } from 'node:path';
import { type IpAddress, ipv4 } from '../../../base/ip-address.ts';
import { UsageError } from '../../../network/errors.ts';
import { MTU_MAX } from '../../../network/network-settings.ts';
import { unixPathProblem } from '../../../transports/stream-address.ts';
import type { CommandLine } from '../../config.ts';
import type { TapPlace } from '../../tap/tap-tools.ts';
import type { SlirpCidr, SlirpRequest } from './arguments.ts';

/** Places in the network, counted from its start; libslirp has 16 addresses to lease. */
const GATEWAY = 2;
const DNS = 3;
const [FIRST_LEASE, LAST_LEASE] = [15, 30];
const GUEST = 100;

const SUBNET6 = 'fd00::/64';
const GATEWAY6 = 'fd00::2';
const DNS6 = 'fd00::3';

/** The TAP, and the namespaces that it is in. */
export interface PlannedTap {
  readonly place: TapPlace;
  readonly name: string;
  readonly mtu: number;
  readonly mac: string | undefined;
  /** Whether it is set up as a guest would do that. */
  readonly configure: boolean;
  readonly address: IpAddress;
  readonly prefixLen: number;
  readonly gateway: IpAddress;
}

export interface SlirpPlan {
  /** Keys and values as those of `hawser run`. */
  readonly options: CommandLine;
  /** Undefined: the launcher brings the link. */
  readonly tap: PlannedTap | undefined;
  /** Where ports of the API lead without an address. */
  readonly guest: IpAddress;
}

/** What of this process and its host is needed. */
export interface SlirpHost {
  /** Of this process: the instance's name is its own. */
  readonly pid: number;
  /** The first address of an interface. */
  addressOf(interfaceName: string, family: 4 | 6): string | undefined;
}

/** @throws UsageError */
export function planSlirp(request: SlirpRequest, host: SlirpHost): SlirpPlan {
  const { cidr, apiSocket } = request;
  const problem = apiSocket === undefined ? undefined : unixPathProblem(resolve(apiSocket));
  if (problem !== undefined) throw new UsageError([`--api-socket ${apiSocket}: ${problem}`]);
  const at = (place: number): string => addressAt(cidr, place).toString();
  const mtu = Math.min(request.mtu, MTU_MAX);
  const six = request.ipv6
    ? { ipv6: 'auto', subnet6: SUBNET6, gateway6: GATEWAY6 }
    : { ipv6: 'off' };
  const sources = [...sourceOf(request.outbound, 4, host), ...sourceOf(request.outbound6, 6, host)];
  const dns = request.ipv6 ? [at(DNS), DNS6] : [at(DNS)];
  const options: CommandLine = {
    name: `slirp4netns-${host.pid}`,
    listen: [linkOf(request)],
    subnet: cidr.text,
    gateway: at(GATEWAY),
    hostIp: request.hostLoopback ? at(GATEWAY) : 'none',
    ...six,
    ...(request.dns ? { dnsAddress: dns } : { dnsServer: 'off' }),
    ...(sources.length === 0 ? {} : { outboundAddress: sources }),
    dhcpRange: `${at(FIRST_LEASE)}-${at(LAST_LEASE)}`,
    mtu: `${mtu}`,
    exitWithGuest: true,
    guestTimeout: '0',
    sandbox: request.sandbox ? 'on' : 'off',
    ...(apiSocket === undefined ? {} : { sandboxAllow: [dirname(resolve(apiSocket))] }),
  };
  return { options, tap: tapOf(request, mtu), guest: addressAt(cidr, GUEST) };
}

const addressAt = ({ base }: SlirpCidr, place: number): IpAddress => ipv4((base + place) | 0);

function sourceOf(text: string | undefined, family: 4 | 6, host: SlirpHost): string[] {
  if (text === undefined) return [];
  if (isIP(text) !== 0) return [text];
  const address = host.addressOf(text, family);
  if (address !== undefined) return [address];
  const option = family === 4 ? '--outbound-addr' : '--outbound-addr6';
  throw new UsageError([
    `${option} ${text}: no interface of that name has an IPv${family} address`,
  ]);
}

function linkOf({ target }: SlirpRequest): string {
  switch (target.kind) {
    case 'pid':
      return `tap:${target.tapName}@/proc/${target.pid}/ns/net`;
    case 'path':
      return `tap:${target.tapName}@${target.path}`;
    case 'tapfd':
      return `fd:${target.fd}:packet`;
    case 'bess':
      return `bess:${target.path}`;
  }
}

function tapOf(request: SlirpRequest, mtu: number): PlannedTap | undefined {
  const { target, usernsPath, configure, mac, cidr } = request;
  if (target.kind === 'tapfd' || target.kind === 'bess') return undefined;
  const place =
    target.kind === 'pid'
      ? {
          netns: `/proc/${target.pid}/ns/net`,
          userns: usernsPath ?? `/proc/${target.pid}/ns/user`,
        }
      : { netns: target.path, userns: usernsPath };
  return {
    place,
    name: target.tapName,
    mtu,
    mac,
    configure,
    address: addressAt(cidr, GUEST),
    prefixLen: cidr.prefixLen,
    gateway: addressAt(cidr, GATEWAY),
  };
}
