/** Every peer, in the order of the tables; and drop-ins, which are measured when they are named. */
import { bridgepair } from './bridgepair.ts';
import { dockerProxy } from './docker-proxy.ts';
import { gvproxy, hawserGvproxy } from './gvproxy.ts';
import { hawserQemu, hawserTap } from './hawser.ts';
import { passt, pasta } from './passt.ts';
import type { Peer } from './peer.ts';
import { qemuUser } from './qemu-user.ts';
import { hawserSlirp4netns, slirp4netns } from './slirp4netns.ts';

export const PEERS: readonly Peer[] = [
  hawserQemu,
  hawserTap,
  bridgepair,
  passt,
  gvproxy,
  qemuUser,
  pasta,
  slirp4netns,
  dockerProxy,
];

/** hawser by the command lines of others: its data path is that of its links. */
export const DROP_INS: readonly Peer[] = [hawserSlirp4netns, hawserGvproxy];
