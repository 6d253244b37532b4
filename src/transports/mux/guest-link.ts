/** The link through the virtual network: a connection of the stack's to a port of a guest. */

import type { IpAddress } from '../../base/ip-address.ts';
import type { Log } from '../../base/log.ts';
import type { MuxFlow } from '../../proxy/agent/mux-flow.ts';
import type { MuxPeers, Peer, PeerLink } from '../../proxy/agent/peers.ts';
import type { Flow, FlowSource } from '../../proxy/flows/flow.ts';
import type { FlowBook } from '../../proxy/flows/flow-book.ts';
import { tcpFacts } from '../../proxy/flows/stream-facts.ts';
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
  readonly book: FlowBook;
}

export function dialGuestLink(
  link: PeerLink,
  spec: GuestChoice & { readonly port: number },
  context: GuestLinkContext,
): Redialer {
  const { peers, log, guests, dialGuest, flusher, book } = context;
  const target = guests.targetOf(spec);
  return new Redialer(link, log, (attempt) => {
    const { address } = target;
    let flow: TcpFlow | undefined;
    let entry: Flow | undefined;
    const dial = (handler: MuxFlow): TcpFlow | undefined => {
      flow = address === undefined ? undefined : dialGuest(address, spec.port, handler);
      return flow;
    };
    const peer = peers.addFlow({
      ...{ link, role: 'connector', flusher, dial, isOpen: false },
      owner: () => flow?.owner,
      onEnd: (why, error, wasReady) => {
        book.end(entry, why);
        attempt.onEnd(why, error, wasReady);
      },
    });
    if (peer === undefined || flow === undefined) attempt.onFailed('the guest is not connected');
    else {
      entry = book.add('tcp', flow.owner, undefined, sourceOf(flow, peer));
      attempt.onConnected();
    }
    return undefined;
  }).start();
}

const sourceOf = (flow: TcpFlow, peer: Peer): FlowSource => ({
  describeFlow: () => tcpFacts(flow.id, { openedBy: 'host', service: 'mux' }, flow),
  endFlow: () => peer.destroy(),
});
