/** QEMU's user network (libslirp), without a VM: a hub joins it to a stream socket. */
import { onPath } from '../../src/lab/on-path.ts';
import { GUEST_PORTS } from '../rig/lab.ts';
import { attachBridge, configureGuest } from './bridged.ts';
import { type Peer, versionOf } from './peer.ts';

const PROGRAM = 'qemu-system-x86_64';
const GUEST = '10.0.2.15';
const ROUTER = '10.0.2.2';
const NO_MACHINE = ['-M', 'none', '-nodefaults', '-display', 'none', '-monitor', 'none'];

export const qemuUser: Peer = {
  name: 'qemu-user',
  ours: false,
  onlyMtu: 1500, // libslirp in QEMU has no option for it
  missing: () =>
    onPath(PROGRAM) === undefined
      ? `no ${PROGRAM} on PATH (Debian package qemu-system-x86)`
      : undefined,
  version: () => versionOf(PROGRAM, '--version'),
  async start(lab, mtu) {
    const socket = lab.path('qemu-user.sock');
    const forwards = GUEST_PORTS.flatMap((port) =>
      ['tcp', 'udp'].map((protocol) => `,hostfwd=${protocol}:127.0.0.1:${port}-${GUEST}:${port}`),
    ).join('');
    const netdevs = [
      `user,id=u${forwards}`,
      'hubport,id=h0,hubid=0,netdev=u',
      `stream,id=s,server=on,addr.type=unix,addr.path=${socket}`,
      'hubport,id=h1,hubid=0,netdev=s',
    ].flatMap((netdev) => ['-netdev', netdev]);
    const daemon = lab.start(lab.host, [PROGRAM, ...NO_MACHINE, '-serial', 'none', ...netdevs]);
    await attachBridge(lab, mtu, socket, daemon);
    configureGuest(lab, mtu, { cidr: `${GUEST}/24`, router: ROUTER });
    return { daemons: [daemon], toHost: ROUTER, toGuest: '127.0.0.1' };
  },
};
