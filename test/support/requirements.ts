/**
 * What tests need of the machine, at every level. A test that needs what this machine lacks is pending where it
 * would have run and named at the end; with `HAWSER_REQUIRE_ALL=1` it fails instead, unless no package has that.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, closeSync, constants, existsSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { onPath } from '../../src/lab/on-path.ts';
import { findBusybox, findKernel, findQemu } from '../../src/lab/vm/vm-parts.ts';
import { loadPosix } from '../../src/native/load.ts';
import { Kernel } from '../../src/native/sandbox/kernel.ts';
import { landlockVersion } from '../../src/native/sandbox/landlock.ts';
import { findResolved } from '../system/support/find-resolved.ts';
import { findI386, findSeabios } from '../system/support/i386.ts';
import { findRootlessKitWithVpnkit } from '../system/support/rootless-kit.ts';

export type Requirement =
  | 'linux'
  | 'root'
  | 'netns'
  | 'userns'
  | 'tun'
  | 'ipv6'
  | 'koffi'
  | 'socket-events'
  | 'landlock'
  | 'vm'
  | 'v86'
  | 'bash'
  | 'zsh'
  | 'fish'
  | 'script'
  | 'groff'
  | 'systemd-analyze'
  | 'ldd'
  | 'gcc'
  | 'musl-gcc'
  | 'perl'
  | 'python3'
  | 'java'
  | 'curl'
  | 'gtlsclient'
  | 'iperf3'
  | 'iptables'
  | 'dig'
  | 'named'
  | 'docker'
  | 'containerd'
  | 'newuidmap'
  | 'podman'
  | 'rootlesskit'
  | 'rootlesskit-vpnkit'
  | 'slirp4netns'
  | 'dnsmasq'
  | 'nc'
  | 'ip'
  | 'ss'
  | 'tc'
  | 'nsenter'
  | 'openssl'
  | 'sysctl'
  | 'ethtool'
  | 'ping'
  | 'tcpdump'
  | 'traceroute'
  | 'tracepath'
  | 'tayga'
  | 'udhcpc'
  | 'dhclient'
  | 'rdisc6'
  | 'dhcpcd'
  | 'systemd-networkd'
  | 'systemd-resolved'
  | 'dbus-daemon'
  | 'NetworkManager'
  | 'connmand'
  | 'bssl-tool'
  | 'squid'
  | 'tinyproxy'
  | 'danted'
  | 'sshd'
  | 'ssh-keygen';

const program = (name: string, debianPackage: string) => (): string | undefined =>
  onPath(name) === undefined ? `no ${name} (package ${debianPackage})` : undefined;

const NETWORKD = '/lib/systemd/systemd-networkd';

/** Each returns why it is not met, or undefined. */
const CHECKS: Readonly<Record<Requirement, () => string | undefined>> = {
  linux: () => (process.platform === 'linux' ? undefined : 'not Linux'),
  root: () => (process.getuid?.() === 0 ? undefined : 'not root'),
  netns: () => unshare('-n', 'no network namespaces'),
  userns: () => unshare('-Urn', 'no user namespaces'),
  tun: () => (opens('/dev/net/tun') ? undefined : '/dev/net/tun cannot be opened'),
  ipv6: () => (hasLoopback('::1') ? undefined : 'no IPv6 on the loopback'),
  koffi: () => reasonOf(() => [loadPosix()]),
  'socket-events': () =>
    reasonOf(() => {
      const { fds, unmap } = loadPosix().openListenEvents();
      unmap();
      return fds.map((fd) => closeSync(fd));
    }),
  landlock: () =>
    reasonOf(() => [new Kernel()]) ??
    (landlockVersion(new Kernel()) > 0 ? undefined : 'no Landlock in this kernel, or not in use'),
  vm: () => reasonOf(() => [findQemu(), findKernel(), findBusybox()]),
  v86: () => reasonOf(() => [findI386(), findSeabios()]),
  bash: program('bash', 'bash'),
  zsh: program('zsh', 'zsh'),
  fish: program('fish', 'fish'),
  script: program('script', 'bsdutils'),
  groff: program('groff', 'groff-base'),
  'systemd-analyze': program('systemd-analyze', 'systemd'),
  ldd: program('ldd', 'libc-bin'),
  gcc: program('gcc', 'gcc'),
  'musl-gcc': program('musl-gcc', 'musl-tools'),
  perl: program('perl', 'perl-base'),
  python3: program('python3', 'python3'),
  java: program('javac', 'default-jdk-headless'),
  curl: program('curl', 'curl'),
  gtlsclient: program('gtlsclient', 'ngtcp2-client'),
  iperf3: program('iperf3', 'iperf3'),
  iptables: program('iptables', 'iptables'),
  dig: program('dig', 'bind9-dnsutils'),
  named: program('named', 'bind9'),
  docker: () => program('dockerd', 'docker.io')() ?? program('docker', 'docker.io')(),
  containerd: program('containerd', 'containerd'),
  newuidmap: program('newuidmap', 'uidmap'),
  podman: program('podman', 'podman'),
  rootlesskit: program('rootlesskit', 'rootlesskit'),
  'rootlesskit-vpnkit': () => reasonOf(findRootlessKitWithVpnkit),
  slirp4netns: program('slirp4netns', 'slirp4netns'),
  dnsmasq: program('dnsmasq', 'dnsmasq-base'),
  nc: program('nc', 'netcat-openbsd'),
  ip: program('ip', 'iproute2'),
  ss: program('ss', 'iproute2'),
  tc: program('tc', 'iproute2'),
  nsenter: program('nsenter', 'util-linux'),
  openssl: program('openssl', 'openssl'),
  sysctl: program('sysctl', 'procps'),
  ethtool: program('ethtool', 'ethtool'),
  ping: program('ping', 'iputils-ping'),
  tcpdump: program('tcpdump', 'tcpdump'),
  traceroute: program('traceroute', 'traceroute'),
  tracepath: program('tracepath', 'iputils-tracepath'),
  tayga: program('tayga', 'tayga'),
  udhcpc: program('udhcpc', 'udhcpc'),
  dhclient: program('dhclient', 'isc-dhcp-client'),
  rdisc6: program('rdisc6', 'ndisc6'),
  dhcpcd: program('dhcpcd', 'dhcpcd-base'),
  'systemd-networkd': () => (existsSync(NETWORKD) ? undefined : `no ${NETWORKD} (package systemd)`),
  'systemd-resolved': () => reasonOf(findResolved),
  'dbus-daemon': program('dbus-daemon', 'dbus-daemon'),
  NetworkManager: program('NetworkManager', 'network-manager'),
  connmand: program('connmand', 'connman'),
  'bssl-tool': program('bssl-tool', 'android-boringssl'),
  squid: program('squid', 'squid'),
  tinyproxy: program('tinyproxy', 'tinyproxy-bin'),
  danted: program('danted', 'dante-server'),
  sshd: program('sshd', 'openssh-server'),
  'ssh-keygen': program('ssh-keygen', 'openssh-client'),
};

/** No package of the distribution has it: named where it is missing, and never a failure. */
const NOT_PACKAGED: readonly Requirement[] = ['rootlesskit-vpnkit'];

/** To make namespaces with links of ours in them. */
export const NAMESPACES: readonly Requirement[] = ['root', 'netns', 'ip', 'koffi'];

/** What every lab needs. */
export const LAB: readonly Requirement[] = [
  ...NAMESPACES,
  'tun',
  'ss',
  'nsenter',
  'sysctl',
  'udhcpc',
];

/** To bind to `address`. */
export const needsOf = (address: string): readonly Requirement[] =>
  address.includes(':') ? ['ipv6'] : [];

const MUST = process.env['HAWSER_REQUIRE_ALL'] === '1';
const found = new Map<Requirement, string | undefined>();
const leftOut: { readonly what: Mocha.Suite | Mocha.Test; readonly why: string }[] = [];

/** A suite of tests that need something of the machine. */
export function describeNeeding(
  name: string,
  needs: readonly Requirement[],
  body: (this: Mocha.Suite) => void,
): void {
  const why = lacking(needs);
  if (why === '') describe(name, body);
  else if (isRequired(needs)) {
    describe(name, () => {
      it('has what it needs (HAWSER_REQUIRE_ALL=1)', failing(why));
    });
  } else {
    const what = describe.skip(name, body);
    if (what) leftOut.push({ what, why });
  }
}

/** One such test. */
export function itNeeding(
  name: string,
  needs: readonly Requirement[],
  body: Mocha.Func | Mocha.AsyncFunc,
): Mocha.Test {
  const why = lacking(needs);
  if (why === '') return it(name, body);
  if (isRequired(needs)) return it(name, failing(why));
  const what = it.skip(name, body);
  leftOut.push({ what, why });
  return what;
}

/** A suite of tests with a real kernel. */
export function systemSuite(
  name: string,
  needs: readonly Requirement[],
  body: (this: Mocha.Suite) => void,
): void {
  describeNeeding(`system: ${name}`, needs, body);
}

after(() => {
  if (leftOut.length === 0) return;
  const lines = leftOut
    .splice(0) // each file has an end of its own where files run in parallel
    .filter(({ what }) => what.parent?.isPending() !== true) // its suite is named
    .map(({ what, why }) => `    ${what.titlePath().join(' > ')}${countOf(what)}: ${why}\n`);
  const otherwise = MUST ? '' : ' (with HAWSER_REQUIRE_ALL=1 each fails)';
  process.stderr.write(
    `\n  LEFT OUT, because this machine lacks what they need${otherwise}:\n${lines.join('')}\n`,
  );
});

/** Whether what is missing of `needs` must be there. */
const isRequired = (needs: readonly Requirement[]): boolean =>
  MUST && lacking(needs.filter((need) => !NOT_PACKAGED.includes(need))) !== '';

const failing = (why: string) => (): never => {
  throw new Error(`this machine lacks: ${why}`);
};

const countOf = (what: Mocha.Suite | Mocha.Test): string =>
  'total' in what ? ` (${what.total()} tests)` : '';

/** @returns what is missing of them; '' when nothing is */
const lacking = (needs: readonly Requirement[]): string =>
  needs
    .map((need) => {
      if (!found.has(need)) found.set(need, CHECKS[need]());
      return found.get(need);
    })
    .filter((why) => why !== undefined)
    .join(', ');

function unshare(flags: string, otherwise: string): string | undefined {
  const { status, error } = spawnSync('unshare', [flags, 'true']);
  if (error !== undefined) return 'no unshare (package util-linux)';
  return status === 0 ? undefined : otherwise;
}

const hasLoopback = (address: string): boolean =>
  Object.values(networkInterfaces()).some((list) => list?.some((one) => one.address === address));

function opens(file: string): boolean {
  try {
    accessSync(file, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function reasonOf(act: () => unknown): string | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
