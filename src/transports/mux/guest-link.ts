/** The link through the virtual network: a connection of the stack's to a port of a guest. */

import type { IpAddress } from '../../base/ip-address.ts';
import type { Log } from '../../base/log.ts';
import type { MuxFlow } from '../../proxy/agent/mux-flow.ts';
import type { MuxPeers, PeerLink } from '../../proxy/agent/peers.ts';
import type { FlushScheduler } from '../../proxy/flush-scheduler.ts';
import type { GuestChoice, Guests } from '../../proxy/ports/publication-guest.ts';
import type { TcpFlow, TcpFlowHandler } from '../../stack/flow.ts';
import { Redialer } from './redialer.ts';

/** @returns undefined when the guest is not connected, or there is no room for a connection */
export type DialGuest = (
  guest: IpAddress,
  port: number,
  handler: TcpFlowHandler,
) => TcpFlow | undefined;

export interface GuestLinkContext {
  readonly peers: MuxPeers;
  readonly log: Log;
  readonly guests: Guests;
  readonly dialGuest: DialGuest;
  readonly flusher: FlushScheduler;
}

export function dialGuestLink(
  link: PeerLink,
  spec: GuestChoice & { readonly port: number },
  context: GuestLinkContext,
): Redialer {
  const { peers, log, guests, dialGuest, flusher } = context;
  const target = guests.targetOf(spec);
  return new Redialer(link, log, (attempt) => {
    const { address } = target;
    const dial = (handler: MuxFlow): TcpFlow | undefined =>
      address === undefined ? undefined : dialGuest(address, spec.port, handler);
    const { onEnd } = attempt;
    const peer = peers.addFlow({ link, role: 'connector', flusher, dial, isOpen: false, onEnd });
    if (peer === undefined) attempt.onFailed('the guest is not connected');
    else attempt.onConnected();
    return undefined;
  }).start();
}
