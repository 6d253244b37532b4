/** Answers to segments that belong to no connection: resets, and the last ACK of one in TIME-WAIT. */
import type { Counters } from '../../base/counters.ts';
import { keyGuestPort, keyRemote, keyRemotePort } from '../../base/flow-key.ts';
import { type Seq, seq, seqAdd } from '../../base/seq.ts';
import type { Instant } from '../../base/time.ts';
import { PROTOCOL_TCP } from '../../wire/ipv4.ts';
import { ACK, emitTcp, RST, TCP_HEADER_LEN, TcpFields } from '../../wire/tcp.ts';
import { emitTimestamps, TIMESTAMPS_LEN } from '../../wire/tcp-options.ts';
import type { StackDrop } from '../drops.ts';
import type { IpOutput } from '../ip-output.ts';
import type { Neighbor } from '../neighbor.ts';
import { type Path, pathSum } from '../path.ts';
import type { Segment } from './segment.ts';
import type { TimeWait } from './time-wait.ts';

export class StrayAnswers {
  private readonly out: IpOutput;
  private readonly fields = new TcpFields();
  private readonly drops: Counters<StackDrop>;

  constructor(out: IpOutput, drops: Counters<StackDrop>) {
    this.out = out;
    this.drops = drops;
  }

  /** RFC 9293 §3.10.7.1: a segment for a connection that does not exist is answered by a reset. */
  refuse(key: Int32Array, neighbor: Neighbor, s: Segment): void {
    const path = this.out.flowPath(neighbor, keyRemote(key), keyGuestPort(key), keyRemotePort(key));
    if ((s.flags & ACK) !== 0) this.reset(path, key, s.ack, seq(0), RST);
    else this.reset(path, key, seq(0), seqAdd(s.seq, s.span), RST | ACK);
  }

  reset(path: Path, key: Int32Array, at: Seq, ack: Seq, flags: number): void {
    const l4 = this.open(path, TCP_HEADER_LEN);
    if (l4 < 0) return;
    const { fields } = this;
    fields.sequence = at;
    fields.acknowledgment = ack;
    fields.flags = flags;
    fields.window = 0;
    this.send(path, key, l4, TCP_HEADER_LEN);
  }

  /** Our last ACK once more (RFC 9293 §3.10.7.4). */
  acknowledge(now: Instant, entry: TimeWait): void {
    const { path, key, timestamps, tsOffset, tsRecent, sndNxt, rcvNxt } = entry;
    const headerLen = TCP_HEADER_LEN + (timestamps ? TIMESTAMPS_LEN : 0);
    const l4 = this.open(path, headerLen);
    if (l4 < 0) return;
    if (timestamps) {
      const tsVal = (Math.floor(now) + tsOffset) | 0;
      emitTimestamps(this.out.slab.view, l4 + TCP_HEADER_LEN, tsVal, tsRecent);
    }
    const { fields } = this;
    fields.sequence = sndNxt;
    fields.acknowledgment = rcvNxt;
    fields.flags = ACK;
    fields.window = 0xffff;
    this.send(path, key, l4, headerLen);
  }

  private open(path: Path, headerLen: number): number {
    const l4 = this.out.open(path, PROTOCOL_TCP, headerLen);
    if (l4 < 0) this.drops.add(this.out.drop);
    return l4;
  }

  /** Numbers, flags and window are in `fields` by now. */
  private send(path: Path, key: Int32Array, l4: number, headerLen: number): void {
    const { fields, out } = this;
    fields.srcPort = keyRemotePort(key);
    fields.dstPort = keyGuestPort(key);
    fields.headerLen = headerLen;
    fields.len = headerLen;
    fields.addressSum = pathSum(path, PROTOCOL_TCP);
    emitTcp(out.slab.view, l4, fields);
    out.commit(l4 + headerLen);
  }
}
