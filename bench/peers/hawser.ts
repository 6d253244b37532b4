/** Ours, by its two links (QEMU's socket through the bridge, and a TAP of its own), and over both families. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { GUEST_PORTS, type Lab } from '../rig/lab.ts';
import type { Running } from '../rig/running.ts';
import { PACKAGE_ROOT } from '../rig/tools.ts';
import { attachBridge, configureGuest, TAP } from './bridged.ts';
import type { Peer, Started } from './peer.ts';

/** How the guest is addressed, and how it reaches the host. */
interface Family {
  readonly guest: string;
  readonly bits: number;
  readonly router: string;
  readonly host: string;
  readonly loopback: string;
  /** More options of `hawser run`. */
  readonly options: readonly string[];
}
const V4: Family = {
  guest: '192.168.127.2',
  bits: 24,
  router: '192.168.127.1',
  host: '192.168.127.254',
  loopback: '127.0.0.1',
  options: [],
};
const V6: Family = {
  guest: 'fd00:127::2',
  bits: 64,
  router: 'fd00:127::1',
  host: 'fd00:127::254',
  loopback: '::1',
  // Without addresses of its own choice, from which the guest's UDP servers would answer.
  options: ['--subnet6', 'fd00:127::/64', '--ipv6', 'on', '--ipv6-mode', 'dhcp'],
};
const READY_FD = 3;

interface Manifest {
  readonly version: string;
  readonly bin: { readonly hawser: string };
}

function manifest(): Manifest {
  const read: Manifest = JSON.parse(readFileSync(join(PACKAGE_ROOT, 'package.json'), 'utf8'));
  return read;
}

/** The program that users start. */
function startDaemon(lab: Lab, mtu: number, link: string, family: Family): Running {
  const { guest, loopback } = family;
  if (family === V6) for (const side of [lab.host, lab.guest]) side.enableIpv6();
  const at = (address: string): string => (address.includes(':') ? `[${address}]` : address);
  const publish = GUEST_PORTS.flatMap((port) =>
    ['tcp', 'udp'].flatMap((protocol) => [
      '-p',
      `${at(loopback)}:${port}:${at(guest)}:${port}/${protocol}`,
    ]),
  );
  const program = [process.execPath, join(PACKAGE_ROOT, manifest().bin.hawser), 'run'];
  const options = ['--ready-fd', String(READY_FD), '--log-level', 'warn', '--mtu', String(mtu)];
  const argv = [...program, '--listen', link, ...options, ...family.options, ...publish];
  return lab.start(lab.host, argv, { env: { XDG_RUNTIME_DIR: lab.dir }, extraPipes: 1 });
}

function started(lab: Lab, mtu: number, daemon: Running, family: Family): Started {
  const { guest, bits, router, host, loopback } = family;
  configureGuest(lab, mtu, { cidr: `${guest}/${bits}`, router });
  return { daemons: [daemon], toHost: host, toGuest: loopback };
}

const version = (): string => `hawser ${manifest().version}`;

const overQemu = (name: string, family: Family): Peer => ({
  name,
  ours: true,
  missing: () => undefined,
  version,
  async start(lab, mtu) {
    const socket = lab.path('qemu.sock');
    const daemon = startDaemon(lab, mtu, `qemu:${socket}`, family);
    await attachBridge(lab, mtu, socket, daemon);
    return started(lab, mtu, daemon, family);
  },
});

const overTap = (name: string, family: Family): Peer => ({
  name,
  ours: true,
  missing() {
    try {
      import.meta.resolve('koffi');
      return undefined;
    } catch {
      return 'the package koffi is not installed';
    }
  },
  version,
  async start(lab, mtu) {
    const daemon = startDaemon(lab, mtu, `tap:${TAP}@${lab.guest.name}`, family);
    await daemon.says(READY_FD);
    return started(lab, mtu, daemon, family);
  },
});

export const hawserQemu: Peer = overQemu('hawser', V4);
export const hawserTap: Peer = overTap('hawser-tap', V4);
/** The same over IPv6, to be compared with them. */
export const hawserQemu6: Peer = overQemu('hawser-ipv6', V6);
export const hawserTap6: Peer = overTap('hawser-tap-ipv6', V6);
