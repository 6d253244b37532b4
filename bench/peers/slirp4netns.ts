/** slirp4netns on a TAP of its own, and hawser by its command line; ports are published over the API socket. */
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { onPath } from '../../src/lab/on-path.ts';
import { GUEST_PORTS } from '../rig/lab.ts';
import { ownProgram } from '../rig/tools.ts';
import { TAP } from './bridged.ts';
import { koffiMissing } from './hawser.ts';
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

const slirpPeer = (
  program: readonly [string, ...string[]],
  peer: Pick<Peer, 'name' | 'ours' | 'missing'>,
): Peer => ({
  ...peer,
  version: () => versionOf(...program, '--version'),
  async start(lab, mtu) {
    const api = lab.path('slirp.api');
    const options = ['--netns-type=path', '-c', '-a', api, '-r', String(READY_FD)];
    if (mtu !== DEFAULT_MTU) options.push(`--mtu=${mtu}`);
    const argv = [...program, ...options, lab.guest.path, TAP];
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
});

export const slirp4netns: Peer = slirpPeer(['slirp4netns'], {
  name: 'slirp4netns',
  ours: false,
  missing: () =>
    onPath('slirp4netns') === undefined
      ? 'no slirp4netns on PATH (Debian package slirp4netns)'
      : undefined,
});

export const hawserSlirp4netns: Peer = slirpPeer(ownProgram('hawser-slirp4netns'), {
  name: 'hawser-slirp4netns',
  ours: true,
  missing: koffiMissing,
});
