/**
 * The interface of the port table to publications with `via: mux`: channels to the agent in the guest,
 * which dials what the guest reaches. It hides the multiplexer from the table.
 */
import type { IpAddress } from '../../base/ip-address.ts';
import type { HostStream } from '../../native/stream/host-stream.ts';
import type { SocketSpec } from './publish-spec.ts';

/** The target that the agent dials. A port without an address is one of the guest's loopback. */
export type AgentTarget =
  | { readonly kind: 'port'; readonly address: IpAddress | undefined; readonly port: number }
  | { readonly kind: 'path'; readonly path: string };

export interface AgentClient {
  readonly address: IpAddress;
  readonly port: number;
}

/** The listener of a published port. */
export interface PublishedListener {
  /** The port bound; 0 for a Unix socket. */
  readonly hostPort: number;
  /** TCP connections, or UDP clients, at the moment. */
  readonly active: number;
  /** Whether it is the TCP listener that is bound to `address`, in canonical form, and `port`. */
  isAt(address: string, port: number): boolean;
  /** Accept no more. Connections that are served go on. */
  stop(): void;
}

export interface AgentCarrier {
  /**
   * Open a channel to `target` and splice `stream` to it. Nothing of the client
   * is sent before `preface`; a target that refuses resets the client.
   *
   * @param client undefined when it has no address, or the address is not to be sent
   * @param onEnd called once, when the stream has ended
   * @param publication its id
   * @returns false when no agent is connected: nothing was started, and `onEnd` is not called
   */
  serve(
    stream: HostStream,
    target: AgentTarget,
    client: AgentClient | undefined,
    preface: Uint8Array | undefined,
    onEnd: () => void,
    publication: string,
  ): boolean;
  /** Publish a UDP port. @throws PublishError */
  listenUdp(publication: string, spec: SocketSpec): PublishedListener;
}

/** To the agents of all links. */
export interface AgentCarriers extends AgentCarrier {
  /** To the agent behind one link, and to no other: for what has been published through it. */
  of(link: string): AgentCarrier;
}
