/**
 * Plays a script to a stack: it is the guest's link, and the host's side of every flow.
 *
 * The stack chooses its own initial sequence numbers and timestamps; the player learns them from the
 * frames that the stack sends and moves the captured segments accordingly. The host's side sends what
 * the next burst acknowledges, so that every captured segment is one that the stack expects.
 */

import { allocate } from '../../src/base/arena.ts';
import { seededRandom } from '../../src/base/random.ts';
import type { Slab } from '../../src/base/slab.ts';
import { makePacketSlab } from '../../src/base/slab.ts';
import type { Instant } from '../../src/base/time.ts';
import type { TcpFlow, TcpFlowHandler, TcpRequest } from '../../src/stack/flow.ts';
import { Frame } from '../../src/stack/frame.ts';
import type { FrameReader, FrameWriter } from '../../src/stack/link.ts';
import { Stack } from '../../src/stack/stack.ts';
import type { StackConfig } from '../../src/stack/stack-config.ts';
import { ETHERNET_HEADER_LEN, ETHERTYPE_IPV4, etherType } from '../../src/wire/ethernet.ts';
import { ipv4HeaderLen, ipv4Protocol, PROTOCOL_TCP } from '../../src/wire/ipv4.ts';
import { ACK, FIN, SYN, tcpDstPort, tcpFlags, tcpHeaderLen, tcpSeq } from '../../src/wire/tcp.ts';
import type { Burst, GuestFrame, Script, ScriptFlow } from './script.ts';
import { hasTimestamps, SegmentRewriter, timestampValue } from './segment-rewriter.ts';

const SLAB_LEN = 70_000;
/** TIME-WAIT and all other waiting is over after it. */
const PAUSE_MS = 300_000;
/** A multiple of the timer wheel's: deadlines fall alike in every pass. */
const TICK_MS = 1000;
/** As what is read from the host. */
const CHUNK = allocate(65_536);

/** The host's side of one captured flow, as it is in this stack. */
class HostEnd implements TcpFlowHandler {
  flow: TcpFlow | undefined = undefined;
  iss = 0;
  timestamp = 0;
  /** Bytes that earlier rounds of {@link Player.repeat} sent. */
  base = 0;
  private sent = 0;
  private ended = false;

  renew(): void {
    this.flow = undefined;
    this.base = 0;
    this.sent = 0;
    this.ended = false;
  }

  /** Send as much as was sent when the guest acknowledged `acked`. */
  reach(now: Instant, acked: number, total: number): void {
    const { flow } = this;
    if (flow === undefined) return;
    const wanted = this.base + Math.min(acked, total);
    while (this.sent < wanted) {
      const n = Math.min(wanted - this.sent, CHUNK.length, flow.sendSpace);
      if (n === 0) return;
      flow.send(now, CHUNK, 0, n);
      this.sent += n;
    }
    if (acked <= total || this.ended) return;
    this.ended = true;
    flow.shutdown(now);
  }

  abort(now: Instant): void {
    this.flow?.abort(now);
    this.flow = undefined;
  }

  onOpen(_now: Instant, flow: TcpFlow): void {
    this.flow = flow;
  }

  onReadable(now: Instant, flow: TcpFlow): void {
    while (flow.receivedLen > 0) flow.release(now, flow.lend().len);
  }

  onWritable(): void {}

  onPeerEnd(): void {}

  onClosed(): void {
    this.flow = undefined;
  }
}

/** The link towards the guest: frames end here, after a look at what TCP chose. */
class GuestLink implements FrameWriter {
  readonly slab: Slab = makePacketSlab(SLAB_LEN);
  readonly offload = false;
  readonly isCrowded = false;
  frames = 0;
  /** By the guest's port: each is used by one flow of a capture. */
  readonly ends: Map<number, HostEnd> = new Map();

  reserve(): number {
    return 0;
  }

  commit(len: number): void {
    if (len === 0) return;
    this.frames++;
    const { view } = this.slab;
    if (etherType(view, 0) !== ETHERTYPE_IPV4) return;
    if (ipv4Protocol(view, ETHERNET_HEADER_LEN) !== PROTOCOL_TCP) return;
    const tcp = ETHERNET_HEADER_LEN + ipv4HeaderLen(view, ETHERNET_HEADER_LEN);
    const end = this.ends.get(tcpDstPort(view, tcp));
    if (end === undefined) return;
    if ((tcpFlags(view, tcp) & SYN) !== 0) end.iss = tcpSeq(view, tcp);
    if (hasTimestamps(view, tcp, tcpHeaderLen(view, tcp)))
      end.timestamp = timestampValue(view, tcp);
  }

  commitOffload(): void {
    throw new Error('this link takes no offload');
  }

  flush(): void {}
}

export class Player {
  readonly stack: Stack;
  readonly script: Script;
  readonly link: GuestLink = new GuestLink();
  private readonly reader: FrameReader;
  private readonly lent = new Frame();
  private readonly rewriter: SegmentRewriter;
  private readonly pristine: Uint8Array;
  private now: Instant = 1;

  constructor(script: Script, config: StackConfig) {
    this.script = script;
    this.rewriter = new SegmentRewriter(script.slab);
    this.pristine = script.slab.bytes.slice();
    this.stack = new Stack(config, this.now, seededRandom(1), {
      onTcpRequest: (now, request) => this.onTcpRequest(now, request),
      onDatagram: () => {},
      onEcho: () => {},
    });
    const reader = this.stack.attach(this.now, 'replay', this.link);
    if (reader === undefined) throw new Error('no room for a link');
    this.reader = reader;
    for (const { dials, frames } of script.bursts) {
      for (const flow of dials) this.link.ends.set(flow.id.guestPort, new HostEnd());
      for (const { flow } of frames) {
        if (flow !== undefined) this.link.ends.set(flow.id.guestPort, new HostEnd());
      }
    }
  }

  /** The whole capture, from its first frame to its last. */
  play(): void {
    this.script.slab.bytes.set(this.pristine);
    for (const end of this.link.ends.values()) end.renew();
    const begin = this.now;
    for (const burst of this.script.bursts) {
      this.now = begin + (burst.frames[0]?.atMs ?? 0);
      this.playBurst(burst, 0, 0);
    }
    this.now = begin + Math.ceil((this.script.lengthMs + PAUSE_MS) / TICK_MS) * TICK_MS;
    this.runTimers();
  }

  /** Open a flow, for {@link repeat}. */
  open(flow: ScriptFlow): Repeat {
    const { bursts } = this.script;
    const isData = (frame: GuestFrame): boolean => isRepeatable(frame, flow);
    const opens = (frame: GuestFrame): boolean =>
      frame.flow === undefined ||
      (frame.flow === flow && (frame.flags & FIN) === 0 && frame.acked <= 0 && !isData(frame));
    for (const { dials, frames } of bursts) {
      const mine = {
        dials: dials.filter((one) => one === flow),
        aborts: [],
        frames: frames.filter(opens),
      };
      this.playBurst(mine, 0, 0);
    }
    const data = bursts
      .map(({ frames }): Burst => ({ dials: [], aborts: [], frames: frames.filter(isData) }))
      .filter(({ frames }) => frames.length > 0);
    const frames = data.flatMap((burst) => burst.frames);
    const from = frames[0]?.atMs ?? 0;
    return {
      bursts: data,
      flow,
      frames: frames.length,
      guestBytes: frames.reduce((sum, { payloadLen }) => sum + payloadLen, 0),
      hostBytes: Math.max(0, ...frames.map(({ acked }) => acked)),
      lengthMs: Math.ceil((frames.at(-1)?.atMs ?? 0) - from) + 1,
      rounds: 0,
    };
  }

  /** The bursts once more, behind what was there before. */
  repeat(what: Repeat): void {
    const again = what.rounds++ > 0;
    const seqShift = again ? what.guestBytes : 0;
    const tsShift = again ? what.lengthMs : 0;
    for (const burst of what.bursts) this.playBurst(burst, seqShift, tsShift);
    const end = this.link.ends.get(what.flow.id.guestPort);
    if (end !== undefined) end.base += what.hostBytes;
    this.now += what.lengthMs;
  }

  private onTcpRequest(now: Instant, request: TcpRequest): void {
    const end = this.link.ends.get(request.id.guestPort);
    if (end === undefined) request.refuse(now, 'refused');
    else request.accept(now, end);
  }

  private playBurst({ aborts, dials, frames }: Burst, seqShift: number, tsShift: number): void {
    const { lent, link, now, reader, script, stack } = this;
    this.runTimers();
    for (const flow of dials) {
      const end = link.ends.get(flow.id.guestPort);
      if (end !== undefined) stack.dial(now, flow.id, end);
    }
    for (const flow of aborts) link.ends.get(flow.id.guestPort)?.abort(now);
    for (const { flow, acked } of frames) {
      if (flow !== undefined) link.ends.get(flow.id.guestPort)?.reach(now, acked, flow.hostBytes);
    }
    stack.flush();
    for (const frame of frames) {
      if (frame.flow !== undefined) this.move(frame, frame.flow, seqShift, tsShift);
      reader.onFrame(now, lent.set(script.slab, frame.off, frame.len));
    }
    reader.onBatchEnd(now);
  }

  private move(frame: GuestFrame, flow: ScriptFlow, seqShift: number, tsShift: number): void {
    const end = this.link.ends.get(flow.id.guestPort);
    if (end === undefined) return;
    const { rewriter, script } = this;
    const { tcpOff, acked, flags } = frame;
    rewriter.shiftSequence(tcpOff, seqShift);
    if ((flags & ACK) === 0) return;
    rewriter.setAcknowledgment(tcpOff, (end.iss + 1 + end.base + Math.max(acked, 0)) | 0);
    if (!hasTimestamps(script.slab.view, tcpOff, tcpHeaderLen(script.slab.view, tcpOff))) return;
    rewriter.setTimestamps(tcpOff, tsShift, end.timestamp);
  }

  private runTimers(): void {
    while (this.stack.nextTimeout() <= this.now) this.stack.onTimeout(this.now);
  }
}

/** A part of one established flow that can be played over and over. */
export interface Repeat {
  readonly bursts: readonly Burst[];
  readonly flow: ScriptFlow;
  readonly guestBytes: number;
  readonly hostBytes: number;
  readonly frames: number;
  /** Virtual time that it takes. */
  readonly lengthMs: number;
  rounds: number;
}

/** Segments in the middle of a flow that carry or acknowledge data. */
const isRepeatable = (
  { flags, payloadLen, acked, ...frame }: GuestFrame,
  flow: ScriptFlow,
): boolean =>
  frame.flow === flow &&
  (flags & (SYN | FIN)) === 0 &&
  (payloadLen > 0 || acked > 0) &&
  acked <= flow.hostBytes;
