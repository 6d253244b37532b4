/**
 * `vpnkit:`: guests that speak VPNKit's protocol, as of HyperKit, RootlessKit and VPNKit's own tools. A connection is a
 * handshake first, of a limited time and number, and then a link; several with one UUID are one guest.
 *
 * Checksums of IPv4 and UDP may be zero here as on any link: the DHCP client of VPNKit's Go package computes none.
 */
import type { HostStream } from '../../native/stream/host-stream.ts';
import type { Mac } from '../../wire/mac.ts';
import { emitVmn3tVif, VMN3T_RESPONSE_LEN, type Vmn3tCommand } from '../../wire/vmn3t.ts';
import { VPNKIT_FRAMING } from '../framing.ts';
import type { LinkContext, OpenLink } from '../link-context.ts';
import { LinkStats } from '../link-stats.ts';
import { refuseStream, SocketLink } from '../socket-link.ts';
import type { StreamAddress } from '../stream-address.ts';
import { formatStreamAddress } from '../stream-address.ts';
import { listenForStreams, type StreamListener } from '../stream-listener.ts';
import { disconnectFor, Handshake } from './handshake.ts';
import { type VpnkitGuest, VpnkitGuests } from './vpnkit-guests.ts';

/** Beyond the MTU, of a frame: VPNKit's. */
const FRAME_MARGIN = 50;
const FRAME_MAX = 0xffff;

const NO_MACS: ReadonlyMap<string, Mac> = new Map();

export interface VpnkitLimits {
  /** Clients in their handshake; the one that has been for longest gives way. */
  readonly handshakes: number;
  readonly handshakeMs: number;
  /** For a guest to speak first: to ask for an address, which clients do at once. */
  readonly speakMs: number;
}

export const VPNKIT_LIMITS: VpnkitLimits = { handshakes: 32, handshakeMs: 10_000, speakMs: 2_000 };

export class VpnkitListener implements OpenLink {
  readonly stats: LinkStats = new LinkStats();
  description: string;
  private readonly context: LinkContext;
  private readonly limits: VpnkitLimits;
  private readonly guests: VpnkitGuests;
  private readonly longestFrame: number;
  private readonly handshakes = new Map<Handshake, NodeJS.Timeout>();
  private readonly links = new Set<SocketLink>();
  private listener: StreamListener | undefined = undefined;

  private constructor(address: StreamAddress, context: LinkContext, limits: VpnkitLimits) {
    this.description = `vpnkit:${formatStreamAddress(address)}`;
    this.context = context;
    this.limits = limits;
    this.longestFrame = Math.min(context.mtu + FRAME_MARGIN, FRAME_MAX);
    const { acceptor: segment, clock, addresses, vpnkitMacs: macs = NO_MACS } = context;
    const { longestFrame, stats } = this;
    const { speakMs } = limits;
    const twins = { segment, clock, longestFrame, stats, speakMs };
    this.guests = new VpnkitGuests({ twins, addresses, macs });
  }

  /** @throws LinkInUseError, LinkError */
  static async open(
    address: StreamAddress,
    context: LinkContext,
    limits: VpnkitLimits = VPNKIT_LIMITS,
  ): Promise<VpnkitListener> {
    const link = new VpnkitListener(address, context, limits);
    const onStream = (stream: HostStream, name: string): void => link.onStream(stream, name);
    link.listener = await listenForStreams('vpnkit', address, context, onStream);
    link.description = link.listener.description;
    return link;
  }

  async close(): Promise<void> {
    const { listener } = this;
    if (listener === undefined) return;
    this.listener = undefined;
    const stopped = listener.close();
    for (const handshake of this.handshakes.keys()) this.giveUp(handshake);
    await Promise.all([...this.links].map((link) => link.end()));
    await stopped;
  }

  private onStream(stream: HostStream, name: string): void {
    const { handshakes, limits, stats } = this;
    if (handshakes.size >= limits.handshakes) {
      const [oldest] = handshakes.keys();
      if (oldest !== undefined) this.giveUp(oldest);
    }
    const handshake: Handshake = new Handshake(stream, {
      onCommand: (command, early) => {
        this.forget(handshake);
        this.onCommand(stream, name, command, early);
      },
      onFailed: (why) => {
        this.forget(handshake);
        stats.drops.add(why === undefined ? 'handshake-unfinished' : 'handshake-refused');
        if (why !== undefined) this.refused(name, why);
      },
    });
    handshakes.set(
      handshake,
      setTimeout(() => this.giveUp(handshake), limits.handshakeMs),
    );
    handshake.start();
  }

  private giveUp(handshake: Handshake): void {
    this.forget(handshake);
    this.stats.drops.add('handshake-unfinished');
    handshake.close();
  }

  private forget(handshake: Handshake): void {
    clearTimeout(this.handshakes.get(handshake));
    this.handshakes.delete(handshake);
  }

  private onCommand(
    stream: HostStream,
    name: string,
    command: Vmn3tCommand,
    early: Uint8Array,
  ): void {
    const guest = this.guests.admit(command, stream.peerUid);
    if (typeof guest === 'string') {
      this.stats.drops.add('handshake-refused');
      this.refused(name, guest);
      void refuseStream(stream, disconnectFor(guest));
      return;
    }
    this.join(stream, name, guest, early);
  }

  private join(stream: HostStream, name: string, guest: VpnkitGuest, early: Uint8Array): void {
    const greeting = new Uint8Array(VMN3T_RESPONSE_LEN);
    emitVmn3tVif(greeting, this.context.mtu, this.longestFrame, guest.mac);
    const onDown = (): void => {
      this.links.delete(link);
      this.guests.onLeft(guest);
      if (!guest.twins.isEmpty) this.stats.linksOpen++;
    };
    const context = { ...this.context, acceptor: guest.twins };
    const link = new SocketLink(name, VPNKIT_FRAMING, stream, context, this.stats, onDown);
    const refusal = disconnectFor('there are too many links');
    if (!link.start({ early, greeting, refusal })) {
      this.guests.onLeft(guest);
      return;
    }
    this.links.add(link);
    if (guest.twins.size > 1) this.stats.linksOpen--; // a guest counts once, whatever its connections
  }

  private refused(link: string, why: string): void {
    this.context.log.warn({ link, why }, 'guest refused');
  }
}
