/** A port of a guest that sends to the outside, and its host socket; see `UdpNat`. */
import type { IpAddress } from '../../base/ip-address.ts';
import type { FlowId } from '../../stack/flow.ts';
import type { Guest } from '../../stack/guest.ts';
import type { DatagramGate } from '../inspect/datagram-gate.ts';
import { DatagramGates } from '../inspect/datagram-gates.ts';
import type { GateShares } from '../inspect/gate-shares.ts';
import type { NameCheck } from '../inspect/name-check.ts';
import { HostSession, type SessionOwner, type Side } from './host-session.ts';
import { Redirects } from './redirects.ts';
import type { SendSlot } from './send-pool.ts';

/** The `id` of every datagram that a binding delivers: one object, because no receiver keeps it. */
interface MutableFlowId extends FlowId {
  remote: IpAddress;
  remotePort: number;
}

export class Binding extends HostSession<Binding> {
  readonly guestPort: number;
  readonly id: MutableFlowId;
  /** Of the destination of its last datagram; undefined where none is inspected. */
  gate: DatagramGate | undefined = undefined;
  private gates: DatagramGates | undefined = undefined;

  constructor(
    nat: SessionOwner<Binding>,
    key: Int32Array,
    owner: Guest,
    guest: IpAddress,
    side: Side,
    guestPort: number,
  ) {
    super(nat, key, owner, guest, side);
    this.guestPort = guestPort;
    this.id = { guest, guestPort, remote: guest, remotePort: 0 };
  }

  /**
   * Have `check` decide about what is sent to the destination that was just set.
   *
   * @param give takes back the slots of datagrams that are not sent
   */
  useCheck(check: NameCheck | undefined, shares: GateShares, give: (slot: SendSlot) => void): void {
    this.gate = undefined;
    if (check === undefined) return;
    const { remote, port } = this.target;
    this.gates ??= new DatagramGates(this.owner, shares, give);
    this.gate = this.gates.of(remote, port, check);
  }

  /** @param insteadOf undefined: what the guest has asked for is where it goes */
  redirect(
    insteadOf: string | undefined,
    address: string,
    port: number,
    remote: IpAddress,
    remotePort: number,
  ): void {
    if (insteadOf === undefined && this.redirects === undefined) return;
    this.redirects ??= new Redirects();
    this.redirects.insteadOf = insteadOf;
    const asked = insteadOf === undefined ? undefined : { remote, port: remotePort };
    this.redirects.set(address, port, asked);
  }

  override close(): void {
    this.gates?.close();
    super.close();
  }

  protected get self(): Binding {
    return this;
  }
}
