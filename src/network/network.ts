/** A running network: what its users may ask of it. */

import { Duplex } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { reportFault } from '../base/faults.ts';
import type { Log } from '../base/log.ts';
import { type ApiListener, ListenError } from '../control/api-listener.ts';
import { EVENT_TYPES, type NetworkEvents } from '../control/events/network-events.ts';
import type { ServedView } from '../control/events/served-view.ts';
import type { PortView } from '../control/network-view.ts';
import { portView } from '../control/ports/port-view.ts';
import type { HostTargets } from '../proxy/address-map.ts';
import { HostReach } from '../proxy/host-reach.ts';
import type { PortTable } from '../proxy/ports/port-table.ts';
import type { PublishSpec } from '../proxy/ports/publish-spec.ts';
import { parsePublish } from '../proxy/ports/publish-text.ts';
import type { FlowTunnel } from '../proxy/upstream-proxy/flow-tunnels.ts';
import type { ZoneTable } from '../services/dns/zone-table.ts';
import type { LinkAcceptor } from '../stack/link.ts';
import type { FrameObserver } from '../transports/capture/tapped-acceptor.ts';
import type { PlainFrameWriter } from '../transports/frame-link.ts';
import { NodeClock } from '../transports/node-clock.ts';
import { addressesOf } from './addresses.ts';
import type { DnsZone, NetworkConfig } from './config.ts';
import type { DaemonNetwork } from './daemon-network.ts';
import { EventHub } from './event-hub.ts';
import type { GatewayForward } from './gateway-forwards.ts';
import { userZones } from './gateway-names.ts';
import type { DialOptions, GuestConnection, GuestServer, ListenOptions } from './guest-streams.ts';
import type { NetworkHooks } from './hooks/hooks.ts';
import type { Attachment, AttachOptions, FrameAttachment, StreamFraming } from './links.ts';
import type { Network, ServeApiOptions, ServedApi } from './network-interface.ts';
import { type OptionProblem, OptionsError, printable } from './option-problem.ts';
import { NetworkParts, type NetworkStart } from './parts.ts';
import { readStartPolicy, surroundingsOf } from './policy/start-policy.ts';
import { readPublication } from './publish-argument.ts';
import { readServeOptions, serveNetworkApi } from './serve-api.ts';
import { readStartProxy } from './upstream-proxy/live-proxy.ts';

/**
 * @param beforeLinks called when all is there but the links where guests attach
 * @param say makes a sentence of a problem of an option's value. Default: for command lines
 * @throws Error whose message states what failed, on what, and what to do; nothing is left behind
 */
export async function openNetwork(
  config: NetworkConfig,
  log: Log,
  beforeLinks?: (network: Network & DaemonNetwork) => Promise<void>,
  hooks: NetworkHooks = {},
  say?: (problem: OptionProblem) => string,
): Promise<Network & DaemonNetwork> {
  const reach = new HostReach();
  await reach.ask();
  const addresses = addressesOf(config, reach.now.source6);
  const surroundings = surroundingsOf(config, addresses, new NodeClock());
  const policy = await readStartPolicy(config.policy, surroundings, say);
  const proxy = await readStartProxy(config.upstreamProxy);
  const network = new RunningNetwork(config, { policy, proxy }, log, reach, hooks);
  try {
    await network.open();
    await beforeLinks?.(network);
    await network.openLinks();
  } catch (error) {
    await network.close();
    throw error;
  }
  return network;
}

const NO_TARGETS: HostTargets = { ipv4: undefined, ipv6: undefined };

class RunningNetwork implements Network, DaemonNetwork {
  readonly view: ServedView;
  readonly ports: PortTable;
  private readonly config: NetworkConfig;
  private readonly hub = new EventHub();
  private readonly parts: NetworkParts;
  private readonly reach: HostReach;
  private readonly apis = new Set<ApiListener>();
  private lastGuestGone: () => void = () => {};
  private closing: Promise<void> | undefined = undefined;

  constructor(
    config: NetworkConfig,
    start: NetworkStart,
    log: Log,
    reach: HostReach,
    hooks: NetworkHooks,
  ) {
    this.config = config;
    this.reach = reach;
    this.parts = new NetworkParts({
      ...{ config, start, log, reach, hooks, hub: this.hub },
      onLastGuestGone: () => this.lastGuestGone(),
    });
    this.hub.network = this;
    this.view = this.parts.view;
    this.ports = this.parts.ports;
  }

  /** Open every publication, and links to agents. */
  async open(): Promise<void> {
    await this.parts.mux.open();
    for (const text of this.config.publish) await this.publishFor('config', text);
  }

  /** Open every link for guests: last, for launchers start a guest when its socket is there. */
  async openLinks(): Promise<void> {
    for (const text of this.config.listen) await this.parts.links.listen(text);
    this.parts.dataPath.native.loadSoon();
  }

  attach(
    link: Duplex | number | PlainFrameWriter,
    options?: AttachOptions<never>,
  ): Attachment & FrameAttachment;
  attach(link: Duplex | number | PlainFrameWriter, options: AttachOptions<never> = {}): Attachment {
    if (typeof link === 'number') return this.parts.links.attachDescriptor(link, options);
    if (link instanceof Duplex) return this.parts.links.attachStream(link, options);
    return this.parts.links.attachWriter(link, options);
  }

  attachConnection(socket: Duplex, framing: StreamFraming, server: string): Attachment {
    return this.parts.links.attachConnection(socket, framing, server);
  }

  async publish(publication: string | PublishSpec): Promise<readonly PortView[]> {
    const given = typeof publication === 'string' ? publication : readPublication(publication);
    return await this.publishFor('library', given);
  }

  private async publishFor(
    owner: 'config' | 'library',
    publication: string | PublishSpec,
  ): Promise<readonly PortView[]> {
    const specs = typeof publication === 'string' ? parsePublish(publication) : [publication];
    const published: PortView[] = [];
    try {
      for (const spec of specs) published.push(portView(await this.ports.publish(spec, owner)));
    } catch (error) {
      for (const { id } of published) this.ports.unpublish(id);
      throw error;
    }
    return published;
  }

  unpublish(port: PortView | string): boolean {
    const id: unknown = typeof port === 'string' ? port : Reflect.get(Object(port), 'id');
    return typeof id === 'string' && this.ports.unpublish(id);
  }

  dial(options: DialOptions): Promise<GuestConnection> {
    return this.parts.streams.dial(options);
  }

  listen(options: ListenOptions): GuestServer {
    return this.parts.streams.listen(options);
  }

  async serveApi(options: ServeApiOptions): Promise<ServedApi> {
    const served = readServeOptions(options);
    this.checkServes(served);
    const listener = await serveNetworkApi(served, this, this.parts.log);
    if (this.closing !== undefined) await listener.close();
    this.checkServes(served);
    this.apis.add(listener);
    const close = async (): Promise<void> => {
      if (this.apis.delete(listener)) await listener.close();
    };
    return { where: listener.where, close, [Symbol.asyncDispose]: close };
  }

  on<K extends keyof NetworkEvents>(name: K, listener: (event: NetworkEvents[K]) => void): this {
    checkListener(name, listener);
    this.hub.on(name, listener);
    return this;
  }

  off<K extends keyof NetworkEvents>(name: K, listener: (event: NetworkEvents[K]) => void): this {
    checkListener(name, listener);
    this.hub.off(name, listener);
    return this;
  }

  onLastGuestGone(callback: () => void): void {
    this.lastGuestGone = callback;
  }

  denyGuests(address: string, port: number): void {
    this.parts.ownListeners.add(address, port);
  }

  denyProcess(offered: readonly number[]): void {
    this.parts.ownListeners.addProcess(
      (address, port) => offered.includes(port) || this.ports.listensAt(address, port),
    );
  }

  forwardGateway(forwards: readonly GatewayForward[]): readonly GatewayForward[] {
    return this.parts.forwards.set(forwards);
  }

  observeFrames(observer: FrameObserver): void {
    this.parts.links.observe(observer);
  }

  async leadHostTo(find: () => Promise<HostTargets | undefined>): Promise<void> {
    const { addressMap } = this.parts.dataPath;
    addressMap.leadHostTo((await find()) ?? NO_TARGETS);
    const follow = async (): Promise<void> => {
      const targets = await find();
      if (targets !== undefined) addressMap.leadHostTo(targets);
    };
    this.reach.whenAsked(() => {
      follow().catch((fault: unknown) => reportFault('timer', fault));
    });
  }

  async tunnelFlows(tunnels: readonly FlowTunnel[]): Promise<readonly FlowTunnel[]> {
    const { FlowTunnels } = await import('../proxy/upstream-proxy/flow-tunnels.ts');
    const { proxies, connectOptions } = this.parts.dataPath;
    const { used, left } = FlowTunnels.of(tunnels, connectOptions);
    proxies.tunnels = used;
    return left;
  }

  get recordZones(): ZoneTable {
    return this.parts.names.recordZones;
  }

  reopenAudit(): void {
    this.parts.audit?.reopen();
  }

  reloadNames(zones: readonly DnsZone[]): readonly string[] {
    this.parts.names.setZones(userZones(zones));
    return [...this.parts.dns.reload(), ...this.parts.proxy.reload()];
  }

  /** Serve the guest of another segment in this process (the demo's, where nothing else is permitted). */
  attachSegment(guest: LinkAcceptor, description: string): void {
    this.parts.links.attachSegment(guest, description);
  }

  /** Serve a guest behind a packet socket (the demo's, without root). */
  attachPacketSocket(fd: number, name: string): void {
    this.parts.links.attachDescriptor(fd, { framing: 'packet-vnet', name });
  }

  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private checkServes({ address }: ServeApiOptions): void {
    if (this.closing === undefined) return;
    throw new ListenError(`cannot serve the control API at ${address}: the network is closed`);
  }

  private async end(): Promise<void> {
    for (const api of this.apis) await api.close();
    await this.parts.close();
    await nextTurn(); // which a program that opens one network after the other would never have
  }
}

/** Check the arguments of a program without types: a listener of an event that there is not would wait for ever. */
function checkListener(name: string, listener: unknown): void {
  if (!EVENT_TYPES.some((type) => type === name)) {
    throw new OptionsError([
      `event ${printable(name, true)} is not known: there are ${EVENT_TYPES.join(', ')}`,
    ]);
  }
  if (typeof listener === 'function') return;
  const got = printable(listener, true);
  throw new OptionsError([`the listener of ${name} must be a function, got ${got}`]);
}
