/** Ours, by its two links: QEMU's socket through the bridge, and a TAP of its own. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { GUEST_PORTS, type Lab } from '../rig/lab.ts';
import type { Running } from '../rig/running.ts';
import { PACKAGE_ROOT } from '../rig/tools.ts';
import { attachBridge, configureGuest, TAP } from './bridged.ts';
import type { Peer, Started } from './peer.ts';

const GUEST = '192.168.127.2';
const ROUTER = '192.168.127.1';
const HOST = '192.168.127.254';
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
function startDaemon(lab: Lab, mtu: number, link: string): Running {
  const publish = GUEST_PORTS.flatMap((port) =>
    ['tcp', 'udp'].flatMap((protocol) => ['-p', `${port}:${GUEST}:${port}/${protocol}`]),
  );
  const program = [process.execPath, join(PACKAGE_ROOT, manifest().bin.hawser), 'run'];
  const options = ['--ready-fd', String(READY_FD), '--log-level', 'warn', '--mtu', String(mtu)];
  const argv = [...program, '--listen', link, ...options, ...publish];
  return lab.start(lab.host, argv, { env: { XDG_RUNTIME_DIR: lab.dir }, extraPipes: 1 });
}

function started(lab: Lab, mtu: number, daemon: Running): Started {
  configureGuest(lab, mtu, { cidr: `${GUEST}/24`, router: ROUTER });
  return { daemons: [daemon], toHost: HOST, toGuest: '127.0.0.1' };
}

const version = (): string => `hawser ${manifest().version}`;

export const hawserQemu: Peer = {
  name: 'hawser',
  ours: true,
  missing: () => undefined,
  version,
  async start(lab, mtu) {
    const socket = lab.path('qemu.sock');
    const daemon = startDaemon(lab, mtu, `qemu:${socket}`);
    await attachBridge(lab, mtu, socket, daemon);
    return started(lab, mtu, daemon);
  },
};

export const hawserTap: Peer = {
  name: 'hawser-tap',
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
    const daemon = startDaemon(lab, mtu, `tap:${TAP}@${lab.guest.name}`);
    await daemon.says(READY_FD);
    return started(lab, mtu, daemon);
  },
};
