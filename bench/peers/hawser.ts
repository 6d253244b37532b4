/** Ours, by its two links: QEMU's socket through the bridge, and a TAP of its own. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { GUEST_PORTS, type Lab } from '../rig/lab.ts';
import type { Running } from '../rig/running.ts';
import { PACKAGE_ROOT } from '../rig/tools.ts';
import { attachBridge, configureGuest, TAP } from './bridged.ts';
import type { BothFamilies, Peer, Started } from './peer.ts';

/** How the guest is addressed, and how it reaches the host. */
interface Family {
  readonly guest: string;
  readonly bits: number;
  readonly router: string;
  readonly host: string;
  readonly loopback: string;
}
const V4: Family = {
  guest: '192.168.127.2',
  bits: 24,
  router: '192.168.127.1',
  host: '192.168.127.254',
  loopback: '127.0.0.1',
};
const V6: Family = {
  guest: 'fd00:127::2',
  bits: 64,
  router: 'fd00:127::1',
  host: 'fd00:127::254',
  loopback: '::1',
};
/** Without addresses of the guest's own choice, from which its UDP servers would answer. */
const V6_OPTIONS = ['--subnet6', 'fd00:127::/64', '--ipv6', 'on', '--ipv6-mode', 'dhcp'];
const READY_FD = 3;

interface Manifest {
  readonly version: string;
  readonly bin: { readonly hawser: string };
}

function manifest(root: string): Manifest {
  const read: Manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  return read;
}

/** Which build of the daemon, and more options of `hawser run`. */
interface Which {
  readonly root: string;
  readonly more: readonly string[];
}
const THIS: Which = { root: PACKAGE_ROOT, more: [] };

/** The program that users start. */
function startDaemon(
  lab: Lab,
  mtu: number,
  link: string,
  families: readonly Family[],
  { root, more }: Which,
): Running {
  const hasV6 = families.includes(V6);
  if (hasV6) for (const side of [lab.host, lab.guest]) side.enableIpv6();
  const at = (address: string): string => (address.includes(':') ? `[${address}]` : address);
  const publish = families.flatMap(({ loopback, guest }) =>
    GUEST_PORTS.flatMap((port) =>
      ['tcp', 'udp'].flatMap((protocol) => [
        '-p',
        `${at(loopback)}:${port}:${at(guest)}:${port}/${protocol}`,
      ]),
    ),
  );
  const program = [process.execPath, join(root, manifest(root).bin.hawser), 'run'];
  const options = ['--ready-fd', String(READY_FD), '--log-level', 'warn', '--mtu', String(mtu)];
  const argv = [
    ...program,
    '--listen',
    link,
    ...options,
    ...(hasV6 ? V6_OPTIONS : []),
    ...publish,
    ...more,
  ];
  return lab.start(lab.host, argv, { env: { XDG_RUNTIME_DIR: lab.dir }, extraPipes: 1 });
}

/** How a guest attaches. */
type Attach = (
  lab: Lab,
  mtu: number,
  families: readonly Family[],
  which?: Which,
) => Promise<Running>;

const byQemu: Attach = async (lab, mtu, families, which = THIS) => {
  const socket = lab.path('qemu.sock');
  const daemon = startDaemon(lab, mtu, `qemu:${socket}`, families, which);
  await attachBridge(lab, mtu, socket, daemon);
  return daemon;
};

const byTap: Attach = async (lab, mtu, families, which = THIS) => {
  const daemon = startDaemon(lab, mtu, `tap:${TAP}@${lab.guest.name}`, families, which);
  await daemon.says(READY_FD);
  return daemon;
};

const version = (): string => `hawser ${manifest(PACKAGE_ROOT).version}`;

export function koffiMissing(): string | undefined {
  try {
    import.meta.resolve('koffi');
    return undefined;
  } catch {
    return 'the package koffi is not installed';
  }
}

function startedOver(lab: Lab, mtu: number, daemon: Running, family: Family): Started {
  const { guest, bits, router, host, loopback } = family;
  configureGuest(lab, mtu, { cidr: `${guest}/${bits}`, router });
  return { daemons: [daemon], toHost: host, toGuest: loopback };
}

const peer = (name: string, attach: Attach, missing: Peer['missing']): Peer => ({
  name,
  ours: true,
  missing,
  version,
  start: async (lab, mtu) => startedOver(lab, mtu, await attach(lab, mtu, [V4]), V4),
});

export const hawserQemu: Peer = peer('hawser', byQemu, () => undefined);
export const hawserTap: Peer = peer('hawser-tap', byTap, koffiMissing);

/** @param options of `hawser run` */
export const startTapWith = async (
  lab: Lab,
  mtu: number,
  options: readonly string[],
): Promise<Started> =>
  startedOver(lab, mtu, await byTap(lab, mtu, [V4], { ...THIS, more: options }), V4);

/** How a guest of some build of hawser attaches. */
const ATTACH: { readonly 'qemu:': Attach; readonly 'tap:': Attach } = {
  'qemu:': byQemu,
  'tap:': byTap,
};
export type Link = keyof typeof ATTACH;

/** @param root of a checkout that is built */
export const startBuild = async (
  lab: Lab,
  mtu: number,
  link: Link,
  root: string,
): Promise<Started> =>
  startedOver(lab, mtu, await ATTACH[link](lab, mtu, [V4], { root, more: [] }), V4);

const startBoth = async (lab: Lab, mtu: number, attach: Attach): Promise<BothFamilies> => {
  const daemon = await attach(lab, mtu, [V4, V6]);
  return { v4: startedOver(lab, mtu, daemon, V4), v6: startedOver(lab, mtu, daemon, V6) };
};

export const startBothByQemu = (lab: Lab, mtu: number): Promise<BothFamilies> =>
  startBoth(lab, mtu, byQemu);
export const startBothByTap = (lab: Lab, mtu: number): Promise<BothFamilies> =>
  startBoth(lab, mtu, byTap);
