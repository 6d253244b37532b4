/**
 * What a system test needs of the machine. What the machine cannot do is left out, said so where it
 * would have run and again at the end; with `HAWSER_REQUIRE_ALL=1` it fails instead.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { findBusybox, findKernel, findQemu, onPath } from '../../../src/lab/vm/initramfs.ts';

export type Requirement =
  | 'root'
  | 'netns'
  | 'tun'
  | 'userns'
  | 'vm'
  | 'gcc'
  | 'curl'
  | 'iperf3'
  | 'iptables'
  | 'dig'
  | 'docker'
  | 'dnsmasq'
  | 'nc'
  | 'tc'
  | 'ethtool'
  | 'ping'
  | 'udhcpc'
  | 'dhclient';

/** Each returns why it is not met, or undefined. */
const CHECKS: Readonly<Record<Requirement, () => string | undefined>> = {
  root: () => (process.getuid?.() === 0 ? undefined : 'not root'),
  netns: () =>
    spawnSync('unshare', ['-n', 'true']).status === 0 ? undefined : 'no network namespaces',
  tun: () => (opens('/dev/net/tun') ? undefined : '/dev/net/tun cannot be opened'),
  userns: () =>
    spawnSync('unshare', ['-Urn', 'true']).status === 0 ? undefined : 'no user namespaces',
  vm: () => reasonOf(() => [findQemu(), findKernel(), findBusybox()]),
  gcc: () => program('gcc', 'gcc'),
  curl: () => program('curl', 'curl'),
  iperf3: () => program('iperf3', 'iperf3'),
  iptables: () => program('iptables', 'iptables'),
  dig: () => program('dig', 'dnsutils'),
  docker: () => program('dockerd', 'docker.io') ?? program('docker', 'docker.io'),
  dnsmasq: () => program('dnsmasq', 'dnsmasq-base'),
  nc: () => program('nc', 'netcat-openbsd'),
  tc: () => program('tc', 'iproute2'),
  ethtool: () => program('ethtool', 'ethtool'),
  ping: () => program('ping', 'iputils-ping'),
  udhcpc: () => program('udhcpc', 'udhcpc'),
  dhclient: () => program('dhclient', 'isc-dhcp-client'),
};

/** What every lab needs. */
export const LAB: readonly Requirement[] = ['root', 'netns', 'tun', 'udhcpc'];

const { HAWSER_REQUIRE_ALL } = process.env;
const MUST = HAWSER_REQUIRE_ALL === '1';
const leftOut: string[] = [];

/** A suite of tests with a real kernel. */
export function systemSuite(
  name: string,
  needs: readonly Requirement[],
  body: (this: Mocha.Suite) => void,
): void {
  const missing = needs.map((need) => CHECKS[need]()).filter((why) => why !== undefined);
  if (missing.length === 0) {
    describe(`system: ${name}`, body);
    return;
  }
  const why = missing.join(', ');
  describe(`system: ${name}`, () => {
    it(`has what it needs (HAWSER_REQUIRE_ALL=${MUST ? 1 : 0})`, () => {
      if (MUST) throw new Error(`this machine lacks: ${why}`);
      leftOut.push(`${name}: ${why}`);
    });
  });
}

after(() => {
  if (leftOut.length === 0) return;
  const lines = leftOut.map((line) => `    ${line}\n`).join('');
  process.stderr.write(`\n  LEFT OUT, because this machine lacks what they need:\n${lines}\n`);
});

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

const program = (name: string, debianPackage: string): string | undefined =>
  onPath(name) === undefined ? `no ${name} (package ${debianPackage})` : undefined;
