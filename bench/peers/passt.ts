/** passt on its socket, and pasta on a TAP of its own. */
import { onPath } from '../../src/lab/on-path.ts';
import { GUEST_PORTS, HOST_ADDRESS, HOST_ROUTER, PORTS } from '../rig/lab.ts';
import { attachBridge, configureGuest, TAP } from './bridged.ts';
import { type Peer, versionOf } from './peer.ts';

const COMMON = ['-f', '-q', '--runas', '0', '-4'];
const PUBLISHED = GUEST_PORTS.join(',');
/** For pasta: ports of the host that the guest's loopback leads to; not measured, as it passes by the TAP. */
const SPLICED = Object.values(PORTS.host).join(',');

const missing = (program: string) => (): string | undefined =>
  onPath(program) === undefined ? `no ${program} on PATH (Debian package passt)` : undefined;

/** Debian's build does not know its own version. */
const version = (program: string) => (): string => {
  const printed = versionOf(program, '--version');
  if (!printed.includes('unknown')) return printed;
  return `${program} ${versionOf('dpkg-query', '-W', 'passt').split('\t')[1] ?? ''} (Debian)`;
};

export const passt: Peer = {
  name: 'passt',
  ours: false,
  missing: missing('passt'),
  version: version('passt'),
  async start(lab, mtu) {
    const socket = lab.path('passt.sock');
    const ports = ['-t', PUBLISHED, '-u', PUBLISHED];
    const argv = ['passt', ...COMMON, '-s', socket, '-m', String(mtu), ...ports];
    const daemon = lab.start(lab.host, argv);
    await attachBridge(lab, mtu, socket, daemon);
    configureGuest(lab, mtu, { cidr: `${HOST_ADDRESS}/24`, router: HOST_ROUTER });
    return { daemons: [daemon], toHost: HOST_ROUTER, toGuest: '127.0.0.1' };
  },
};

export const pasta: Peer = {
  name: 'pasta',
  ours: false,
  missing: missing('pasta'),
  version: version('pasta'),
  start(lab, mtu) {
    const device = ['--config-net', '-I', TAP, '-m', String(mtu)];
    const ports = ['-t', PUBLISHED, '-u', PUBLISHED, '-T', SPLICED, '-U', SPLICED];
    const where = ['--netns-only', '--netns', lab.guest.path];
    const daemon = lab.start(lab.host, ['pasta', ...COMMON, ...device, ...ports, ...where]);
    // Not 127.0.0.1: what comes from there is spliced, past the TAP.
    return Promise.resolve({ daemons: [daemon], toHost: HOST_ROUTER, toGuest: HOST_ADDRESS });
  },
};
