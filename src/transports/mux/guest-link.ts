/** The link through the virtual network: a connection of the stack's to a port of the first guest. */

import type { Log } from '../../base/log.ts';
import type { MuxFlow } from '../../proxy/agent/mux-flow.ts';
import type { MuxPeers, PeerLink } from '../../proxy/agent/peers.ts';
import type { FlushScheduler } from '../../proxy/flush-scheduler.ts';
import type { TcpFlow, TcpFlowHandler } from '../../stack/flow.ts';
import { Redialer } from './redialer.ts';

/** @returns undefined when there is no guest, or no room for a connection */
export type DialGuest = (port: number, handler: TcpFlowHandler) => TcpFlow | undefined;

export interface GuestLinkContext {
  readonly peers: MuxPeers;
  readonly log: Log;
  readonly dialGuest: DialGuest;
  readonly flusher: FlushScheduler;
}

export function dialGuestLink(link: PeerLink, port: number, context: GuestLinkContext): Redialer {
  const { peers, log, dialGuest, flusher } = context;
  return new Redialer(link, log, (attempt) => {
    const dial = (handler: MuxFlow): TcpFlow | undefined => dialGuest(port, handler);
    const peer = peers.addFlow(link, 'connector', flusher, dial, false, attempt.onEnd);
    if (peer === undefined) attempt.onFailed('no guest is there');
    else attempt.onConnected();
  }).start();
}
