/** Two kernels joined by two bridges, with no proxy between: the limit of what the bridge carries. */
import type { Lab } from '../rig/lab.ts';
import type { Running } from '../rig/running.ts';
import { tool } from '../rig/tools.ts';
import { attachBridge, configureGuest } from './bridged.ts';
import type { BothFamilies, Peer, Started } from './peer.ts';

const V4 = { host: '10.99.0.2', guest: '10.99.0.1', bits: 24 };
const V6 = { host: 'fd00:99::2', guest: 'fd00:99::1', bits: 64 };
const HOST_TAP = 'tapx';

async function join(lab: Lab, mtu: number): Promise<Running> {
  const socket = lab.path('pair.sock');
  const args = [
    '-n',
    lab.host.path,
    '-t',
    HOST_TAP,
    '-m',
    String(mtu),
    ...lab.bridgeArgs,
    '-l',
    socket,
  ];
  const other = lab.start(lab.host, [tool('tapbridge'), ...args]);
  await attachBridge(lab, mtu, socket, other);
  return other;
}

function startedOver(lab: Lab, mtu: number, other: Running, family: typeof V4): Started {
  const { host, guest, bits } = family;
  lab.host.ip(`addr add ${host}/${bits} dev ${HOST_TAP}${family === V6 ? ' nodad' : ''}`);
  configureGuest(lab, mtu, { cidr: `${guest}/${bits}` });
  return { daemons: [other], toHost: host, toGuest: guest };
}

export const bridgepair: Peer = {
  name: 'bridgepair',
  ours: false,
  missing: () => undefined,
  version: () => '',
  start: async (lab, mtu) => startedOver(lab, mtu, await join(lab, mtu), V4),
};

export async function joinBoth(lab: Lab, mtu: number): Promise<BothFamilies> {
  for (const side of [lab.host, lab.guest]) side.enableIpv6();
  const other = await join(lab, mtu);
  return { v4: startedOver(lab, mtu, other, V4), v6: startedOver(lab, mtu, other, V6) };
}
