/** From what a command line of slirp4netns asks for to options of the daemon, and to the TAP that is made first. */

import { dirname } from 'node:path';
import { type IpAddress, ipv4 } from '../../../base/ip-address.ts';
import { absolute } from '../../../native/current-directory.ts';
import { UsageError } from '../../../network/errors.ts';
import { MTU_MAX } from '../../../network/network-settings.ts';
import { unixPathProblem } from '../../../transports/stream-address.ts';
import type { CommandLine } from '../../config.ts';
import { type GivenWords, SANDBOX_OFF } from '../../given-words.ts';
import { type HostInterfaces, type PlannedTap, sourcesOf } from '../planned-tap.ts';
import type { SlirpCidr, SlirpRequest } from './arguments.ts';

/** Places in the network, counted from its start; libslirp has 16 addresses to lease. */
const GATEWAY = 2;
const DNS = 3;
const [FIRST_LEASE, LAST_LEASE] = [15, 30];
const GUEST = 100;

const SUBNET6 = 'fd00::/64';
const GATEWAY6 = 'fd00::2';
const DNS6 = 'fd00::3';

export interface SlirpPlan {
  /** Keys and values as those of `hawser run`. */
  readonly options: CommandLine;
  /** What was given for them. */
  readonly words: GivenWords;
  /** Undefined: the launcher brings the link. */
  readonly tap: PlannedTap | undefined;
  /** Where ports of the API lead without an address. */
  readonly guest: IpAddress;
}

/** @throws UsageError */
export function planSlirp(request: SlirpRequest, host: HostInterfaces): SlirpPlan {
  const { cidr, apiSocket } = request;
  const problem = apiSocket === undefined ? undefined : unixPathProblem(absolute(apiSocket));
  if (problem !== undefined) throw new UsageError([`--api-socket ${apiSocket}: ${problem}`]);
  const at = (place: number): string => addressAt(cidr, place).toString();
  const mtu = Math.min(request.mtu, MTU_MAX);
  const six = request.ipv6
    ? { ipv6: 'auto', subnet6: SUBNET6, gateway6: GATEWAY6 }
    : { ipv6: 'off' };
  const sources = sourcesOf(
    [
      { option: '--outbound-addr', text: request.outbound, family: 4 },
      { option: '--outbound-addr6', text: request.outbound6, family: 6 },
    ],
    host,
  );
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
    ...(apiSocket === undefined ? {} : { sandboxAllow: [dirname(absolute(apiSocket))] }),
  };
  return {
    options,
    words: wordsOf(request),
    tap: tapOf(request, mtu),
    guest: addressAt(cidr, GUEST),
  };
}

/** All that it may be wrong about is chosen by the network. */
function wordsOf({ cidr, target, sandbox }: SlirpRequest): GivenWords {
  const network = `--cidr ${cidr.text}`;
  return {
    ...(target.kind === 'bess' ? { listen: `--target-type=bess ${target.path}` } : {}),
    ...(target.kind === 'tapfd' ? { listen: `--netns-type=tapfd ${target.fd}` } : {}),
    ...(sandbox ? { [SANDBOX_OFF]: 'leave out --enable-sandbox' } : {}),
    subnet: network,
    gateway: network,
    hostIp: network,
    dhcpRange: network,
    dnsAddress: [network],
  };
}

const addressAt = ({ base }: SlirpCidr, place: number): IpAddress => ipv4((base + place) | 0);

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
