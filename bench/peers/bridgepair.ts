/** Two kernels joined by two bridges, with no proxy between: the limit of what the bridge carries. */
import { tool } from '../rig/tools.ts';
import { attachBridge, configureGuest } from './bridged.ts';
import type { Peer } from './peer.ts';

const HOST = '10.99.0.2';
const GUEST = '10.99.0.1';
const HOST_TAP = 'tapx';

export const bridgepair: Peer = {
  name: 'bridgepair',
  ours: false,
  missing: () => undefined,
  version: () => '',
  async start(lab, mtu) {
    const socket = lab.path('pair.sock');
    const args = ['-n', lab.host.path, '-t', HOST_TAP, '-m', String(mtu), '-l', socket];
    const other = lab.start(lab.host, [tool('tapbridge'), ...args]);
    await attachBridge(lab, mtu, socket, other);
    lab.host.ip(`addr add ${HOST}/24 dev ${HOST_TAP}`);
    configureGuest(lab, mtu, { cidr: `${GUEST}/24` });
    return { daemons: [other], toHost: HOST, toGuest: GUEST };
  },
};
