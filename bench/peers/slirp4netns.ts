/** slirp4netns on a TAP of its own; ports are published over its API socket. */
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { onPath } from '../../src/lab/on-path.ts';
import { GUEST_PORTS } from '../rig/lab.ts';
import { TAP } from './bridged.ts';
import { type Peer, versionOf } from './peer.ts';

const READY_FD = 3;
/** What it uses without `--mtu`. */
const DEFAULT_MTU = 1500;

/** One request for each connection. @throws with its error */
async function publish(api: string, protocol: string, port: number): Promise<void> {
  const socket = createConnection({ path: api, allowHalfOpen: true });
  const address = { host_addr: '127.0.0.1', host_port: port, guest_port: port };
  socket.end(
    JSON.stringify({ execute: 'add_hostfwd', arguments: { proto: protocol, ...address } }),
  );
  const [answer]: unknown[] = await once(socket, 'data');
  socket.destroy();
  if (String(answer).includes('error')) throw new Error(`slirp4netns: ${String(answer)}`);
}

export const slirp4netns: Peer = {
  name: 'slirp4netns',
  ours: false,
  missing: () =>
    onPath('slirp4netns') === undefined
      ? 'no slirp4netns on PATH (Debian package slirp4netns)'
      : undefined,
  version: () => versionOf('slirp4netns', '--version'),
  async start(lab, mtu) {
    const api = lab.path('slirp.api');
    const options = ['--netns-type=path', '-c', '-a', api, '-r', String(READY_FD)];
    if (mtu !== DEFAULT_MTU) options.push(`--mtu=${mtu}`);
    const argv = ['slirp4netns', ...options, lab.guest.path, TAP];
    const daemon = lab.start(lab.host, argv, { extraPipes: 1 });
    await daemon.says(READY_FD);
    return {
      daemons: [daemon],
      toHost: '10.0.2.2',
      toGuest: '127.0.0.1',
      async publish() {
        for (const port of GUEST_PORTS) {
          for (const protocol of ['tcp', 'udp']) await publish(api, protocol, port);
        }
      },
    };
  },
};
