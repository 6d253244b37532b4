/** ICMP to guests, whatever the family: answers to echo, and the errors of the layers above. */
import type { Counters } from '../base/counters.ts';
import type { IpAddress } from '../base/ip-address.ts';
import type { Seq } from '../base/seq.ts';
import type { Instant } from '../base/time.ts';
import type { StackDrop } from './drops.ts';
import type { EchoId, FlowId, NetworkError, RefuseReason } from './flow.ts';
import type { Neighbor } from './neighbor.ts';
import type { Path } from './path.ts';

export interface IcmpSender {
  /** Answer the echo request of `neighbor` to `from`. @returns false when the answer was dropped, and counted */
  reply(
    neighbor: Neighbor,
    from: IpAddress,
    echo: Pick<EchoId, 'identifier' | 'sequence'>,
    bytes: Uint8Array,
    off: number,
    len: number,
  ): boolean;
  /** Report that a SYN cannot be answered, in place of the router that knows why. */
  sendTcpError(
    path: Path,
    key: Int32Array,
    sequence: Seq,
    reason: Exclude<RefuseReason, 'refused' | 'timed-out'>,
  ): void;
  sendUdpError(
    neighbor: Neighbor,
    id: FlowId,
    error: NetworkError,
    from: IpAddress,
    payloadLen: number,
  ): void;
  sendEchoError(neighbor: Neighbor, id: EchoId, error: NetworkError, from: IpAddress): void;
}

/** Errors are rate-limited, for each guest (RFC 1812 §4.3.2.8, RFC 4443 §2.4 (f)), and counted. */
export class IcmpErrors {
  sent = 0;
  private readonly drops: Counters<StackDrop>;
  private now: Instant = 0;

  constructor(drops: Counters<StackDrop>) {
    this.drops = drops;
  }

  mayReport({ guest }: Neighbor): boolean {
    if (guest.icmpErrors.take(this.now)) return true;
    this.drops.add('icmp-error-rate-limited');
    return false;
  }

  tick(now: Instant): void {
    this.now = now;
  }
}

/** By the family of the neighbour. */
export class FamilyIcmpSender implements IcmpSender {
  private readonly v4: IcmpSender;
  private readonly v6: IcmpSender;

  constructor(v4: IcmpSender, v6: IcmpSender) {
    this.v4 = v4;
    this.v6 = v6;
  }

  reply(
    neighbor: Neighbor,
    from: IpAddress,
    echo: Pick<EchoId, 'identifier' | 'sequence'>,
    bytes: Uint8Array,
    off: number,
    len: number,
  ): boolean {
    return this.to(neighbor).reply(neighbor, from, echo, bytes, off, len);
  }

  sendTcpError(
    path: Path,
    key: Int32Array,
    sequence: Seq,
    reason: Exclude<RefuseReason, 'refused' | 'timed-out'>,
  ): void {
    this.to(path.neighbor).sendTcpError(path, key, sequence, reason);
  }

  sendUdpError(
    neighbor: Neighbor,
    id: FlowId,
    error: NetworkError,
    from: IpAddress,
    payloadLen: number,
  ): void {
    this.to(neighbor).sendUdpError(neighbor, id, error, from, payloadLen);
  }

  sendEchoError(neighbor: Neighbor, id: EchoId, error: NetworkError, from: IpAddress): void {
    this.to(neighbor).sendEchoError(neighbor, id, error, from);
  }

  private to({ address }: Neighbor): IcmpSender {
    return address.family === 4 ? this.v4 : this.v6;
  }
}
