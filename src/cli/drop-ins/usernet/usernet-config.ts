/** The configuration of the daemon for a command line of `limactl usernet`. */

import { isIPv4 } from 'node:net';
import { basename, dirname } from 'node:path';
import { formatIpv4 } from '../../../base/ip-address.ts';
import { absolute } from '../../../native/current-directory.ts';
import { UsageError } from '../../../network/errors.ts';
import { isUsable, parseNetwork } from '../../../network/ipv4-text.ts';
import { buildConfig } from '../../config.ts';
import type { DaemonConfig } from '../../daemon-config.ts';
import { type GivenWords, SANDBOX_OFF } from '../../given-words.ts';
import type { Place } from '../../runtime-dir.ts';
import { parseName } from '../../settings.ts';
import type { UsernetArguments } from './usernet-arguments.ts';

const NAME = 'usernet';
/** Of the gateway in its subnet: Lima's `GatewayIP`. */
const GATEWAY = 2;

/** @throws UsageError */
export function usernetConfig(given: UsernetArguments, place: Place): DaemonConfig {
  const { subnet, leases, qemuSocket, fdSocket } = given;
  const network = parseNetwork(subnet);
  if ('problem' in network) throw new UsageError([`--subnet ${subnet}: ${network.problem}`]);
  const gateway = formatIpv4(network.value.base + GATEWAY);
  const options = {
    name: nameOf(given.endpoint),
    // Lima starts machines as soon as the socket for descriptors exists: the last.
    listen: [
      ...(qemuSocket === undefined ? [] : [`qemu:${absolute(qemuSocket)}`]),
      ...(fdSocket === undefined ? [] : [`fd-socket:${absolute(fdSocket)}`]),
    ],
    subnet,
    gateway,
    hostIp: gateway,
    staticLease: keptLeases(leases, (address) => isUsable(network.value, address), gateway),
    mtu: given.mtu,
    pidFile: given.pidFile,
    sandbox: given.sandbox,
    sandboxAllow: [dirname(given.endpoint)],
  };
  if (options.listen.length === 0) {
    throw new UsageError(['--listen-qemu or --listen must name a socket for machines']);
  }
  const isGiven = ([, value]: [string, unknown]): boolean => value !== undefined;
  const commandLine = Object.fromEntries(Object.entries(options).filter(isGiven));
  return buildConfig(commandLine, undefined, place, { words: wordsOf(given), hasApi: false });
}

/** Of options whose names or values are not those of Lima. */
function wordsOf({ subnet, qemuSocket, fdSocket, pidFile }: UsernetArguments): GivenWords {
  const network = `--subnet ${subnet}`;
  return {
    listen: [
      ...(qemuSocket === undefined ? [] : [`--listen-qemu ${qemuSocket}`]),
      ...(fdSocket === undefined ? [] : [`--listen ${fdSocket}`]),
    ],
    subnet: network,
    gateway: network,
    hostIp: network,
    staticLease: '--leases',
    pidFile: `--pidfile ${pidFile}`,
    [SANDBOX_OFF]: '--sandbox off',
  };
}

/** `user-v2` of `/home/me/.lima/_networks/user-v2/user-v2_ep.sock`. */
function nameOf(endpoint: string): string {
  const name = basename(endpoint).replace(/(_ep)?\.sock$/, '');
  return 'value' in parseName(name) ? name : NAME;
}

/**
 * Lima hands over all leases that it has read before: the gateway's is among them, and those of another subnet, where that was
 * changed. A machine keeps the first of several.
 */
function keptLeases(
  leases: UsernetArguments['leases'],
  isInside: (address: string) => boolean,
  gateway: string,
): string[] {
  const byMac = new Map<string, string>();
  const taken = new Set([gateway]);
  for (const [address, text] of leases) {
    const mac = text.toLowerCase();
    if (!isIPv4(address) || !isInside(address) || taken.has(address) || byMac.has(mac)) continue;
    taken.add(address);
    byMac.set(mac, address);
  }
  return [...byMac].map(([mac, address]) => `${mac}=${address}`);
}
