/** A link to agents in service. */
import type { PeerLink } from '../../proxy/agent/peers.ts';

export type MuxLinkState = 'listening' | 'connecting' | 'connected';

export interface OpenMuxLink extends PeerLink {
  /** Of the link itself; a listening one stays so. */
  readonly state: MuxLinkState;
  /** Why the last attempt failed or the last connection ended; '' when there is none. */
  readonly problem: string;
  /** Stop listening and dialling. Connected peers are closed by `MuxPeers`. */
  close(): Promise<void>;
}
