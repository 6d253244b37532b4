/** Every peer, in the order of the tables. */
import { bridgepair } from './bridgepair.ts';
import { dockerProxy } from './docker-proxy.ts';
import { gvproxy } from './gvproxy.ts';
import { hawserQemu, hawserTap } from './hawser.ts';
import { passt, pasta } from './passt.ts';
import type { Peer } from './peer.ts';
import { qemuUser } from './qemu-user.ts';
import { slirp4netns } from './slirp4netns.ts';

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
