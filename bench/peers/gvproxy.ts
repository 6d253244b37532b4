/** gvisor-tap-vsock's gvproxy, and hawser by its command line; ports are published over the HTTP API. */
import { request } from 'node:http';
import { onPath } from '../../src/lab/on-path.ts';
import { GUEST_PORTS } from '../rig/lab.ts';
import { ownProgram } from '../rig/tools.ts';
import { attachBridge, configureGuest } from './bridged.ts';
import { type Peer, versionOf } from './peer.ts';

/** Not the one that is reserved for podman's Ethernet address. */
const GUEST = '192.168.127.3';
const SSH_PORT = '2222';

/** @throws with its error */
function expose(api: string, protocol: string, port: number): Promise<void> {
  const body = { local: `127.0.0.1:${port}`, remote: `${GUEST}:${port}`, protocol };
  return new Promise((resolve, reject) => {
    const asked = request(
      { socketPath: api, path: '/services/forwarder/expose', method: 'POST', agent: false },
      (response) => {
        response.resume();
        if (response.statusCode === 200) response.once('end', resolve);
        else reject(new Error(`gvproxy: ${response.statusCode} for ${protocol} port ${port}`));
      },
    );
    asked.once('error', reject);
    asked.end(JSON.stringify(body));
  });
}

const gvproxyPeer = (
  program: readonly [string, ...string[]],
  peer: Pick<Peer, 'name' | 'ours' | 'missing'>,
): Peer => ({
  ...peer,
  version: () => versionOf(...program, '-version') || 'gvproxy of an unknown version',
  async start(lab, mtu) {
    const socket = lab.path('gv.sock');
    const api = lab.path('gv.api');
    const links = ['-listen-qemu', `unix://${socket}`, '-listen', `unix://${api}`];
    const argv = [...program, ...links, '-mtu', String(mtu), '-ssh-port', SSH_PORT];
    const daemon = lab.start(lab.host, argv);
    await attachBridge(lab, mtu, socket, daemon);
    configureGuest(lab, mtu, { cidr: `${GUEST}/24`, router: '192.168.127.1' });
    return {
      daemons: [daemon],
      toHost: '192.168.127.254',
      toGuest: '127.0.0.1',
      async publish() {
        for (const port of GUEST_PORTS) {
          for (const protocol of ['tcp', 'udp']) await expose(api, protocol, port);
        }
      },
    };
  },
});

export const gvproxy: Peer = gvproxyPeer(['gvproxy'], {
  name: 'gvproxy',
  ours: false,
  missing: () =>
    onPath('gvproxy') === undefined
      ? 'no gvproxy on PATH (github.com/containers/gvisor-tap-vsock)'
      : undefined,
});

export const hawserGvproxy: Peer = gvproxyPeer(ownProgram('hawser-gvproxy'), {
  name: 'hawser-gvproxy',
  ours: true,
  missing: () => undefined,
});
