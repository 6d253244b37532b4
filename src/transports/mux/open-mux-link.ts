/** From a specification to a running link. */
import type { Log } from '../../base/log.ts';
import type { Clock } from '../../base/time.ts';
import type { Posix } from '../../native/posix.ts';
import type { MuxPeers, PeerLink } from '../../proxy/agent/peers.ts';
import type { FlowBook } from '../../proxy/flows/flow-book.ts';
import type { FlushScheduler } from '../../proxy/flush-scheduler.ts';
import type { Guests } from '../../proxy/ports/publication-guest.ts';
import type { Turns } from '../../proxy/turns.ts';
import type { MachineMemory } from '../vhost-user/machine-memory.ts';
import { type DialGuest, dialGuestLink } from './guest-link.ts';
import { openHybridVsock } from './hybrid-vsock.ts';
import type { OpenMuxLink } from './mux-link.ts';
import { formatMuxLink, type MuxLinkSpec } from './mux-link-spec.ts';
import { dialStream, listenForPeers } from './stream-links.ts';
import { openVhostVsockLink } from './vhost-vsock-link.ts';
import { dialVsock } from './vsock-links.ts';

export interface MuxLinkContext {
  readonly peers: MuxPeers;
  readonly clock: Clock;
  readonly log: Log;
  readonly turns: Turns;
  readonly guests: Guests;
  /** Open a connection to a guest through the virtual network. */
  readonly dialGuest: DialGuest;
  readonly flusher: FlushScheduler;
  readonly book: FlowBook;
  /** For devices; called when one is needed. @throws NativeUnavailableError */
  readonly posix: (wanted: string, instead: string) => Posix;
  /** Of Unix sockets that links listen on. */
  readonly socketMode: number;
  readonly vhostMemory: MachineMemory;
}

/** @throws Error whose message states what failed and what to do */
export async function openMuxLink(
  spec: MuxLinkSpec,
  order: number,
  context: MuxLinkContext,
): Promise<OpenMuxLink> {
  const link: PeerLink = { name: formatMuxLink(spec), order };
  switch (spec.kind) {
    case 'unix':
      return await listenForPeers(link, { path: spec.path }, context);
    case 'connect-unix':
      return dialStream(link, { path: spec.path }, context);
    case 'guest':
      return dialGuestLink(link, spec, context);
    case 'hybrid-vsock':
      return await openHybridVsock(link, spec.path, spec.port, context);
    case 'vsock':
      return dialVsock(link, spec.cid, spec.port, context);
    case 'vhost-vsock':
      return await openVhostVsockLink(link, spec.path, spec.port, context);
  }
}
