/**
 * Docker's own userland proxy in front of a guest behind a veth, as dockerd starts it: one process a
 * port. It publishes ports and does nothing else.
 */
import { existsSync } from 'node:fs';
import { onPath } from '../../src/lab/on-path.ts';
import { GUEST_PORTS } from '../rig/lab.ts';
import type { Running } from '../rig/running.ts';
import { configureGuest } from './bridged.ts';
import { type Peer, versionOf } from './peer.ts';

const OFF_PATH = ['/usr/libexec/docker/docker-proxy', '/usr/lib/docker/docker-proxy'];
const HOST = '10.99.0.2';
const GUEST = '10.99.0.1';
const VETH = 'veth0';
/** Where it reports: `0` and a newline, or `1` and the error. */
const STATUS_FD = 3;

const find = (): string | undefined => onPath('docker-proxy') ?? OFF_PATH.find(existsSync);

export const dockerProxy: Peer = {
  name: 'docker-proxy',
  ours: false,
  missing: () =>
    find() === undefined ? 'no docker-proxy on PATH (Debian package docker.io)' : undefined,
  version: () => versionOf('dockerd', '--version'),
  async start(lab, mtu) {
    lab.guest.ip(`link add ${VETH} type veth peer name ${VETH} netns ${lab.host.name}`);
    lab.host.ip(`addr add ${HOST}/24 dev ${VETH}`, `link set ${VETH} mtu ${mtu} up`);
    configureGuest(lab, mtu, { cidr: `${GUEST}/24`, device: VETH });
    const daemons: Running[] = [];
    for (const port of GUEST_PORTS.map(String)) {
      const from = ['-host-ip', '127.0.0.1', '-host-port', port];
      const to = ['-container-ip', GUEST, '-container-port', port];
      const argv = [find() ?? '', '-proto', 'tcp', ...from, ...to];
      const daemon = lab.start(lab.host, argv, { extraPipes: 1 });
      const status = await daemon.says(STATUS_FD);
      if (!status.startsWith('0')) throw new Error(`docker-proxy: ${status}`);
      daemons.push(daemon);
    }
    return { daemons, toHost: undefined, toGuest: '127.0.0.1' };
  },
};
