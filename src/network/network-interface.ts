/** A running network, for the embedding program. */

import type { Duplex } from 'node:stream';
import type { NetworkEvents } from '../control/events/network-events.ts';
import type { ServedView } from '../control/events/served-view.ts';
import type { PortView } from '../control/network-view.ts';
import type { PublishSpec } from '../proxy/ports/publish-spec.ts';
import type { PlainFrameWriter } from '../transports/frame-link.ts';
import type { DialOptions, GuestConnection, GuestServer, ListenOptions } from './guest-streams.ts';
import type {
  Attachment,
  AttachOptions,
  DescriptorFraming,
  FrameAttachment,
  StreamFraming,
} from './links.ts';

/** A running network: every link and publication of its options accepts. */
export interface Network extends AsyncDisposable {
  /** The state of the network: guests, flows, leases, ports, counters. Each answer is computed on demand. */
  readonly view: ServedView;

  /**
   * Attach a link for guests over a stream of bytes: one end of a child's `stdio`, a connection, any Duplex. It belongs to
   * the link from now on.
   *
   * @throws LinkError when it cannot be used, or there are too many links
   */
  attach(stream: Duplex, options?: AttachOptions<StreamFraming>): Attachment;
  /**
   * Attach a link for guests over a descriptor that this process inherited or received. It belongs to the link from now
   * on.
   *
   * @throws LinkError, and NativeUnavailableError where `packet` needs the optional package koffi
   */
  attach(descriptor: number, options?: AttachOptions<DescriptorFraming>): Attachment;
  /**
   * Attach a link for guests behind the program's own transport: frames for them go to `writer`, frames from them to the
   * `reader` of the link returned.
   *
   * @throws LinkError when `writer` has no function `write`, or there are too many links
   */
  attach(writer: PlainFrameWriter, options?: Pick<AttachOptions<never>, 'name'>): FrameAttachment;

  /**
   * Publish ports of guests on the host: all of the text, or none.
   *
   * @param publication in the form of `parsePublish`: `8080:80`, `127.0.0.1:0:192.168.127.2:22`, `unix:/run/x.sock:/run/y.sock`
   * @returns one port for each of a range, with the assigned host port in place of 0
   * @throws PublishError
   */
  publish(publication: string | PublishSpec): Promise<readonly PortView[]>;
  /**
   * Withdraw a port. Its connections go on.
   *
   * @param port a port returned by `publish` or `view.ports()`, or its id
   * @returns false when there is no such port
   */
  unpublish(port: PortView | string): boolean;

  /**
   * Connect to a TCP port of a guest, which sees the gateway as the client.
   *
   * @throws GuestStreamError; StreamError whose `code` is `ECONNREFUSED`, `EHOSTUNREACH` or `ETIMEDOUT` when the guest
   *   does not grant it; the reason of `signal`
   */
  dial(options: DialOptions): Promise<GuestConnection>;
  /**
   * Serve a TCP port inside the guests' network.
   *
   * @throws GuestStreamError, VirtualListenError
   */
  listen(options: ListenOptions): GuestServer;

  /**
   * Serve the control API: that of `hawser run`, for `hawser status` and the like.
   *
   * @throws OptionsError, ApiListenError
   */
  serveApi(options: ServeApiOptions): Promise<ServedApi>;

  /** Call `listener` with each event from now on. What it throws is thrown as an uncaught exception. */
  on<K extends keyof NetworkEvents>(name: K, listener: (event: NetworkEvents[K]) => void): this;
  off<K extends keyof NetworkEvents>(name: K, listener: (event: NetworkEvents[K]) => void): this;

  /** Detach every guest, reset every flow, write leases, remove the links' sockets. Repeated calls return the same promise. */
  close(): Promise<void>;
}

export interface ServeApiOptions {
  /** `unix:PATH`, of mode 0600, or `tcp:IP:PORT`. */
  readonly address: string;
  /** Holds the bearer token that an API over TCP requires. */
  readonly tokenFile?: string | undefined;
  /** Of the instance, in its answers. Default: `default`. */
  readonly name?: string | undefined;
  /** Where clients may publish ports: `ADDRESS:PORTS`, `*` for every address. Default: anywhere. */
  readonly bind?: readonly string[] | undefined;
  /** A client requested the shutdown. Default: nothing happens. */
  readonly onShutdown?: (() => void) | undefined;
}

export interface ServedApi extends AsyncDisposable {
  /** `unix:PATH` or `tcp:IP:PORT`, with the port in use. */
  readonly where: string;
  /** End every connection once its answer is sent, and remove the socket. The network's `close` does so too. */
  close(): Promise<void>;
}
