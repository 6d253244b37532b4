/** One received segment: a single record, reused for each. Nothing of it is kept. */
import { type Seq, seq } from '../../base/seq.ts';
import { makeSlab, type Slab } from '../../base/slab.ts';
import { FIN, SYN, tcpAck, tcpFlags, tcpHeaderLen, tcpSeq, tcpWindow } from '../../wire/tcp.ts';
import { TcpOptions } from '../../wire/tcp-options.ts';

export class Segment {
  seq: Seq = seq(0);
  ack: Seq = seq(0);
  flags = 0;
  /** As sent: not scaled. */
  window = 0;
  slab: Slab = makeSlab(0);
  /** Payload: `len` bytes at `off` of `slab`. */
  off = 0;
  len = 0;
  readonly options: TcpOptions = new TcpOptions();

  /** Sequence numbers it takes: payload, SYN and FIN (RFC 9293 §3.4, SEG.LEN). */
  get span(): number {
    return this.len + (this.flags & FIN) + ((this.flags & SYN) >> 1);
  }

  /** Fill from a header that has been checked. `len` is header and payload. */
  read(slab: Slab, off: number, len: number): void {
    const { view } = slab;
    const headerLen = tcpHeaderLen(view, off);
    this.seq = tcpSeq(view, off);
    this.ack = tcpAck(view, off);
    this.flags = tcpFlags(view, off);
    this.window = tcpWindow(view, off);
    this.slab = slab;
    this.off = off + headerLen;
    this.len = len - headerLen;
    this.options.read(view, off, headerLen);
  }
}
