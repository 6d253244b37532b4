/** From gvproxy's configuration to the options of `hawser run`, in which everything is that both have. */

import { dirname } from 'node:path';
import { absolute } from '../../../native/current-directory.ts';
import { RunError } from '../../../network/errors.ts';
import { formatNetwork } from '../../../network/ipv4-text.ts';
import { MTU_MAX, MTU_MIN } from '../../../network/network-settings.ts';
import { SSH_TUNNEL } from '../../../proxy/ports/ssh-tunnel.ts';
import { buildConfig } from '../../config.ts';
import type { DaemonConfig } from '../../daemon-config.ts';
import { type GivenWords, SANDBOX_OFF } from '../../given-words.ts';
import { type Place, runtimeDir } from '../../runtime-dir.ts';
import { standIn } from '../own-api.ts';
import type { OwnProxy } from '../own-proxy.ts';
import type { GvproxyConfig, Interface, SshForward, StackConfig } from './configuration.ts';
import { maskedNetwork } from './configure.ts';
import { parseEndpoint } from './endpoint.ts';
import { DEFAULT_LOG_LEVEL, logLevelOf } from './log-level.ts';

export const EXIT_MODES = ['auto', 'always', 'never'] as const;
export type ExitMode = (typeof EXIT_MODES)[number];

/** Of the daemon, what gvproxy has no configuration for. */
export interface OwnFlags {
  /** Of the instance. */
  readonly name: string;
  readonly exitWithGuest: string;
  readonly sandbox: string;
  readonly proxy: OwnProxy;
  /** hawser's own, beside those of gvproxy. */
  readonly hasApi: boolean;
}

/** Links that have one guest at a time in gvproxy, which ends with it. */
const ENDING: readonly Interface[] = ['qemu', 'bess', 'vfkit', 'stdio'];

/** In the order in which they are opened. */
const LINKS = ['qemu', 'vpnkit', 'bess', 'vfkit', 'stdio'] as const;

/** @throws UsageError, RunError */
export function daemonConfig(config: GvproxyConfig, own: OwnFlags, place: Place): DaemonConfig {
  const { stack, interfaces } = config;
  const listen = linksOf(interfaces);
  return buildConfig(
    {
      ...(listen.length === 0 ? {} : { listen }),
      name: own.name,
      subnet: formatNetwork(maskedNetwork(stack.subnet)),
      gateway: stack.gatewayIP,
      gatewayMac: stack.gatewayMacAddress,
      hostIp: hostAddress(stack),
      mtu: `${mtuOf(stack.mtu)}`,
      staticLease: Object.entries(stack.dhcpStaticLeases).map(([ip, mac]) => `${mac}=${ip}`),
      publish: config.forwards.map((forward) => sshPublication(forward, stack.deviceIP)),
      vpnkitMac: Object.entries(stack.vpnKitUUIDMacAddresses).map((entry) => entry.join('=')),
      guestApi: 'on',
      guestApiBind: ['*:1-65535'],
      allowMetadata: stack.ec2MetadataAccess,
      linkGrace: '0',
      exitWithGuest: exitsWithGuest(own.exitWithGuest, interfaces),
      guestTimeout: '0',
      sandbox: own.sandbox,
      ...own.proxy.options,
      sandboxAllow: writtenDirectories(config, place),
      logLevel: logLevelOf(config.logLevel) ?? DEFAULT_LOG_LEVEL,
      logFormat: 'logfmt',
      ...(stack.dnsSearchDomains === undefined ? {} : { dnsSearch: stack.dnsSearchDomains }),
      ...(stack.captureFile === '' ? {} : { pcap: stack.captureFile }),
      ...(config.pidFile === '' ? {} : { pidFile: config.pidFile }),
      ...(config.logFile === '' ? {} : { logFile: config.logFile }),
    },
    undefined,
    place,
    standIn({ ...wordsOf(config, own), ...own.proxy.words }, own.hasApi),
  );
}

/** Of options whose names or values are not those of gvproxy; what no flag gives is named by its key in the file. */
function wordsOf(
  { stack, interfaces, forwards, pidFile, logFile }: GvproxyConfig,
  own: OwnFlags,
): GivenWords {
  const { subnet, gatewayIP, gatewayMacAddress, mtu, captureFile } = stack;
  return {
    listen: LINKS.flatMap((name) =>
      interfaces[name] === '' ? [] : [`-listen-${name} ${interfaces[name]}`],
    ),
    subnet: `-subnet ${subnet}`,
    gateway: `-gatewayIP ${gatewayIP}`,
    gatewayMac: `stack.gatewayMacAddress ${gatewayMacAddress}`,
    hostIp: `stack.nat ${Object.keys(stack.nat).join()}`,
    mtu: `-mtu ${mtu}`,
    staticLease: Object.entries(stack.dhcpStaticLeases).map(
      ([ip, mac]) => `stack.dhcpStaticLeases ${ip}: ${mac}`,
    ),
    vpnkitMac: Object.entries(stack.vpnKitUUIDMacAddresses).map(
      ([uuid, mac]) => `stack.vpnKitUUIDMacAddresses ${uuid}: ${mac}`,
    ),
    dnsSearch: (stack.dnsSearchDomains ?? []).map((text) => `stack.dnsSearchDomains ${text}`),
    publish: forwards.map(({ socket }) => `-forward-sock ${socket}`),
    sandbox: `-sandbox ${own.sandbox}`,
    [SANDBOX_OFF]: '-sandbox off',
    pcap: `-pcap ${captureFile}`,
    pidFile: `-pid-file ${pidFile}`,
    logFile: `-log-file ${logFile}`,
  };
}

function linksOf(interfaces: GvproxyConfig['interfaces']): string[] {
  const links: string[] = [];
  for (const name of LINKS) {
    const url = interfaces[name];
    if (url !== '') links.push(name === 'stdio' ? name : `${name}:${placeOf(url)}`);
  }
  return links;
}

function placeOf(url: string): string {
  const endpoint = parseEndpoint(url);
  switch (endpoint.kind) {
    case 'unix':
      return absolute(endpoint.path);
    case 'tcp': {
      const host = endpoint.host.replace(/^localhost$/, '127.0.0.1') || '0.0.0.0';
      return `${host.includes(':') ? `[${host}]` : host}:${endpoint.port}`;
    }
    case 'vsock':
      throw new RunError(
        `${url}: a guest that attaches over vsock does so by -listen and /connect`,
      );
  }
}

/** The address that stands for the host's loopback. */
function hostAddress({ nat }: StackConfig): string {
  const [entry, ...others] = Object.entries(nat);
  const isLoopback = /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(entry?.[1] ?? '');
  if (entry !== undefined && others.length === 0 && isLoopback) return entry[0];
  throw new RunError(
    `stack.nat ${JSON.stringify(nat)}: hawser translates one address, to 127.0.0.1: leave the others out`,
  );
}

function mtuOf(mtu: number): number {
  if (mtu < MTU_MIN)
    throw new RunError(`mtu is out of range: ${mtu}, it must be ${MTU_MIN} or more`);
  return Math.min(mtu, MTU_MAX);
}

function exitsWithGuest(mode: string, interfaces: GvproxyConfig['interfaces']): boolean {
  switch (mode) {
    case 'always':
      return true;
    case 'never':
      return false;
    case 'auto':
      return ENDING.some((name) => interfaces[name] !== '');
    default:
      throw new RunError(`-exit-with-guest ${mode}: must be one of ${EXIT_MODES.join(', ')}`);
  }
}

/** Of the sockets of its APIs, and where clients of these may have others made. */
function writtenDirectories({ listen, services }: GvproxyConfig, place: Place): string[] {
  if (listen.length === 0 && services === '') return [];
  const paths = [...listen, services].flatMap((url) => {
    const endpoint = url === '' ? undefined : parseEndpoint(url);
    return endpoint?.kind === 'unix' ? [endpoint.path] : [];
  });
  return [...new Set([...paths.map((path) => dirname(absolute(path))), runtimeDir(place)])];
}

/** As a publication. Its socket is a path or a URL. */
function sshPublication({ socket, dest, user, identity }: SshForward, deviceIP: string): string {
  const endpoint = parseEndpoint(socket.includes('://') ? socket : `unix://${absolute(socket)}`);
  if (endpoint.kind !== 'unix')
    throw new RunError(`-forward-sock ${socket}: must be a Unix socket`);
  const login = `${encodeURIComponent(user)}@${deviceIP}`;
  const key = encodeURIComponent(absolute(identity));
  return `unix:${endpoint.path}:${SSH_TUNNEL}${login}${encodeURI(dest)}?key=${key}`;
}
