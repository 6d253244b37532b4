/**
 * Holds what a guest sends to one destination over UDP until it has said where it wants to go: see `DatagramInspector`.
 * Datagrams are held in slots of the send pool, which bounds them for each guest and for all; one flow's are few.
 */
import type { Chained } from '../../base/chain.ts';
import { DatagramInspector } from '../../services/sniff/datagram-inspector.ts';
import { MAX_HELD } from '../../services/sniff/reader.ts';
import type { SendSlot } from '../udp/send-pool.ts';
import type { InspectionFault, NameCheck } from './name-check.ts';
import { quicCrypto } from './quic-crypto.ts';
import { HELD_MS } from './stream-gate.ts';

/** Nothing but QUIC is expected there. */
const QUIC_PORT = 443;
const NONE: readonly SendSlot[] = [];

/** - `hold`: the gate has taken the slot. */
export type GateResult = 'pass' | 'hold' | 'denied';

export class DatagramGate implements Chained<DatagramGate> {
  chainNext: DatagramGate | undefined = undefined;
  chainPrev: DatagramGate | undefined = undefined;
  /** Called once. */
  onClosed: (() => void) | undefined = undefined;
  private readonly check: NameCheck;
  private readonly give: (slot: SendSlot) => void;
  private readonly heldMs: number;
  /** Undefined once it is closed. */
  private inspector: DatagramInspector | undefined;
  /** For good: nothing that a client sends later makes up for what it has sent. */
  isDenied = false;
  /** For good: nothing is read any more. */
  private isFree = false;
  private held: SendSlot[] = [];
  private heldBytes = 0;
  private timer: NodeJS.Timeout | undefined = undefined;

  /** @param give takes back the slots of datagrams that are not sent */
  constructor(
    port: number,
    check: NameCheck,
    give: (slot: SendSlot) => void,
    heldMs: number = HELD_MS,
  ) {
    this.check = check;
    this.give = give;
    this.heldMs = heldMs;
    this.inspector = new DatagramInspector(
      quicCrypto,
      port === QUIC_PORT,
      (claim) => check.onClaim(claim) === undefined,
    );
  }

  judge(slot: SendSlot): GateResult {
    if (this.isFree) return 'pass';
    const result = this.inspector?.push(slot.bytes, 0, slot.len) ?? 'refused';
    if (result === 'pass') return result;
    if (result === 'hold') return this.hold(slot);
    if (result !== 'refused') return this.onFault(result);
    this.deny();
    return 'denied';
  }

  get isClosed(): boolean {
    return this.inspector === undefined;
  }

  /** What was held and may go on, in its order, in front of the datagram that passes. */
  takeHeld(): readonly SendSlot[] {
    if (this.held.length === 0) return NONE;
    const { held } = this;
    this.empty();
    return held;
  }

  /** Everything is denied from now on. */
  close(): void {
    const { onClosed } = this;
    this.inspector = undefined;
    this.isFree = false;
    this.onClosed = undefined;
    this.giveHeld();
    onClosed?.();
  }

  private deny(): void {
    this.isDenied = true;
    this.close();
  }

  private hold(slot: SendSlot): GateResult {
    if (this.heldBytes + slot.len > MAX_HELD) return this.onFault('quic-too-long');
    this.held.push(slot);
    this.heldBytes += slot.len;
    this.timer ??= setTimeout(() => this.onLate(), this.heldMs).unref();
    return 'hold';
  }

  private empty(): void {
    this.held = [];
    this.heldBytes = 0;
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private onFault(fault: InspectionFault): 'pass' | 'denied' {
    if (this.check.onFault(fault) === undefined) {
      this.isFree = true;
      return 'pass';
    }
    this.deny();
    return 'denied';
  }

  /** What was held so long, its client has given up or sent again. */
  private onLate(): void {
    if (this.onFault('first-bytes-late') === 'pass') this.giveHeld();
  }

  private giveHeld(): void {
    const { held } = this;
    this.empty();
    for (const slot of held) this.give(slot);
  }
}
