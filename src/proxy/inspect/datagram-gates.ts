/** The gates of one port of a guest, by destination: a client of QUIC may have many connections on one port. */
import type { IpAddress } from '../../base/ip-address.ts';
import type { Guest } from '../../stack/guest.ts';
import type { SendSlot } from '../udp/send-pool.ts';
import { DatagramGate } from './datagram-gate.ts';
import type { GateShares } from './gate-shares.ts';
import type { NameCheck } from './name-check.ts';

/** Beyond it the one that was used longest ago is forgotten: its connections cannot be read any more. */
const MAX_GATES = 64;

export class DatagramGates {
  private readonly owner: Guest;
  private readonly shares: GateShares;
  private readonly give: (slot: SendSlot) => void;
  /** The one used last is the last. Made for the first gate. */
  private gates: Map<string, DatagramGate> | undefined = undefined;

  /** @param give takes back the slots of datagrams that are not sent */
  constructor(owner: Guest, shares: GateShares, give: (slot: SendSlot) => void) {
    this.owner = owner;
    this.shares = shares;
    this.give = give;
  }

  of(remote: IpAddress, port: number, check: NameCheck): DatagramGate {
    const key = `${remote} ${port}`;
    this.gates ??= new Map();
    const known = this.gates.get(key);
    const isKept = known !== undefined && (known.isDenied || !known.isClosed);
    const gate = isKept ? known : this.open(port, check);
    this.gates.delete(key);
    this.evict(this.gates);
    this.gates.set(key, gate);
    return gate;
  }

  /** Where there is no room for another it is a closed one. */
  private open(port: number, check: NameCheck): DatagramGate {
    const gate = new DatagramGate(port, check, this.give);
    if (!this.shares.add(this.owner, gate)) gate.close();
    return gate;
  }

  close(): void {
    for (const gate of this.gates?.values() ?? []) gate.close();
    this.gates = undefined;
  }

  private evict(gates: Map<string, DatagramGate>): void {
    if (gates.size < MAX_GATES) return;
    for (const [key, gate] of gates) {
      gates.delete(key);
      gate.close();
      return;
    }
  }
}
