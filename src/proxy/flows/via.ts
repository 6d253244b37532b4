/** The way of one flow through an upstream proxy, or a tunnel; see `upstream-proxy/`. */
import type { IpAddress } from '../../base/ip-address.ts';
import type { Instant } from '../../base/time.ts';
import type { Connecting, ConnectOwner } from '../../native/stream/host-stream.ts';
import type { Datagram, FlowId, TcpFlow } from '../../stack/flow.ts';
import type { Guest } from '../../stack/guest.ts';
import type { Intake } from '../intake.ts';
import type { PumpContext } from '../stream/stream-pump.ts';
import type { Splice } from '../tcp/splice.ts';

/** A connection that a proxy is asked for; its owner is called as that of a connect. */
export interface Tunnelling extends Connecting {
  /** Once it is connected: what the other end has sent already. */
  readonly early: Uint8Array;
}

/** A guest's connection that was accepted before its destination is known: see `Tunnel`. */
export interface AcceptedFirst extends Splice {
  begin(flow: TcpFlow, intake: Intake | undefined): void;
}

export type WhenSpliceOver = (splice: Splice, why: string) => void;

/** Of datagrams: the proxy relays them. */
export interface DatagramVia {
  relay(now: Instant, datagram: Datagram): void;
}

/** Ports of guests whose datagrams a proxy relays. */
export interface DatagramRelays {
  /** @returns false where it is not known from the datagram before it where this one goes */
  onDatagram(now: Instant, datagram: Datagram): boolean;
  /** The guest is gone for good from one of its addresses. */
  endGuest(owner: Guest, address: IpAddress): void;
}

export interface Via {
  /** What the guest sends first says where it wants to go: it is accepted before anything is dialled. */
  readonly waitsForGuest: boolean;
  /** Where it is, without credentials. */
  readonly proxy: string;
  /** Of a flow that does not wait. */
  connect(owner: ConnectOwner): Tunnelling;
  /** Of one that does. */
  accept(context: PumpContext, id: FlowId, whenOver: WhenSpliceOver): AcceptedFirst;
}

/** Of a flow that never waits. */
export interface DirectVia {
  readonly waitsForGuest: false;
  /** As that of {@link Via}. */
  readonly proxy: string;
  connect(owner: ConnectOwner): Tunnelling;
}

export type AnyVia = Via | DirectVia;
