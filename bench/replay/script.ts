/**
 * A capture as a script for the guest's side: its frames in the bursts in which they came, and what
 * the host's side must have done before each burst, derived from the acknowledgments in it.
 */
import { type IpAddress, ipv4 } from '../../src/base/ip-address.ts';
import { makePacketSlab, type Slab } from '../../src/base/slab.ts';
import type { FlowId } from '../../src/stack/flow.ts';
import {
  ETHERNET_HEADER_LEN,
  ETHERNET_SRC,
  ETHERTYPE_IPV4,
  etherType,
} from '../../src/wire/ethernet.ts';
import {
  ipv4Dst,
  ipv4Fragment,
  ipv4HeaderLen,
  ipv4Protocol,
  ipv4Src,
  ipv4TotalLength,
  PROTOCOL_TCP,
} from '../../src/wire/ipv4.ts';
import { type Mac, readMac } from '../../src/wire/mac.ts';
import {
  ACK,
  RST,
  SYN,
  tcpAck,
  tcpDstPort,
  tcpFlags,
  tcpHeaderLen,
  tcpSeq,
  tcpSrcPort,
} from '../../src/wire/tcp.ts';
import type { CapturedFrame } from '../../test/golden/support/capture.ts';

const FRAGMENT_BITS = 0x3fff;

export interface ScriptFlow {
  readonly id: FlowId;
  /** As captured. */
  readonly hostIss: number;
  /** Bytes that the host sent, without SYN and FIN. */
  hostBytes: number;
}

export interface GuestFrame {
  readonly off: number;
  readonly len: number;
  readonly atMs: number;
  /** Of a TCP segment, else undefined. */
  readonly flow: ScriptFlow | undefined;
  readonly tcpOff: number;
  readonly flags: number;
  readonly payloadLen: number;
  /** What it acknowledges, counted from the host's first byte; -1: the SYN only, or nothing. */
  readonly acked: number;
}

export interface Burst {
  /** Flows that the host opens before it. */
  readonly dials: readonly ScriptFlow[];
  /** Flows that the host resets before it. */
  readonly aborts: readonly ScriptFlow[];
  readonly frames: readonly GuestFrame[];
}

export interface Script {
  readonly slab: Slab;
  readonly bursts: readonly Burst[];
  readonly frames: number;
  readonly lengthMs: number;
}

interface TcpFacts {
  readonly guest: IpAddress;
  readonly remote: IpAddress;
  readonly guestPort: number;
  readonly remotePort: number;
  readonly off: number;
  readonly flags: number;
  readonly payloadLen: number;
}

/** @returns undefined for what is not a whole TCP segment */
function tcpFacts(view: DataView, off: number, fromGuest: boolean): TcpFacts | undefined {
  const l3 = off + ETHERNET_HEADER_LEN;
  if (etherType(view, off) !== ETHERTYPE_IPV4 || ipv4Protocol(view, l3) !== PROTOCOL_TCP) {
    return undefined;
  }
  if ((ipv4Fragment(view, l3) & FRAGMENT_BITS) !== 0) return undefined;
  const l4 = l3 + ipv4HeaderLen(view, l3);
  const [guest, remote] = fromGuest
    ? [ipv4Src(view, l3), ipv4Dst(view, l3)]
    : [ipv4Dst(view, l3), ipv4Src(view, l3)];
  const [guestPort, remotePort] = fromGuest
    ? [tcpSrcPort(view, l4), tcpDstPort(view, l4)]
    : [tcpDstPort(view, l4), tcpSrcPort(view, l4)];
  const headers = ipv4HeaderLen(view, l3) + tcpHeaderLen(view, l4);
  return {
    guest: ipv4(guest),
    remote: ipv4(remote),
    guestPort,
    remotePort,
    off: l4,
    flags: tcpFlags(view, l4),
    payloadLen: ipv4TotalLength(view, l3) - headers,
  };
}

/** One captured frame, of either side, where it lies in the slab. */
interface Laid {
  readonly off: number;
  readonly len: number;
  readonly atMs: number;
  readonly fromGuest: boolean;
  readonly tcp: TcpFacts | undefined;
}

function layOut(captured: readonly CapturedFrame[], slab: Slab, gatewayMac: Mac): readonly Laid[] {
  let off = 0;
  return captured.map(({ bytes, atMs }) => {
    slab.bytes.set(bytes, off);
    const fromGuest = readMac(slab.view, off + ETHERNET_SRC) !== gatewayMac;
    const tcp = tcpFacts(slab.view, off, fromGuest);
    const laid = { off, len: bytes.length, atMs, fromGuest, tcp };
    off += bytes.length;
    return laid;
  });
}

const keyOf = ({ guestPort, remotePort, remote }: TcpFacts): string =>
  `${guestPort}:${remotePort}:${remote.d}`;

/** Those that the host's side opened, or took: the others were refused. */
function findFlows(frames: readonly Laid[], { view }: Slab): ReadonlyMap<string, ScriptFlow> {
  const flows = new Map<string, ScriptFlow>();
  for (const { tcp, fromGuest } of frames) {
    if (tcp === undefined || fromGuest) continue;
    const { guest, guestPort, remote, remotePort, flags, off, payloadLen } = tcp;
    const flow = flows.get(keyOf(tcp));
    if (flow !== undefined) {
      if (payloadLen === 0) continue; // what comes after a FIN counts the FIN
      const from = (tcpSeq(view, off) - flow.hostIss - 1) | 0;
      flow.hostBytes = Math.max(flow.hostBytes, from + payloadLen);
    } else if ((flags & SYN) !== 0) {
      const id = { guest, guestPort, remote, remotePort };
      flows.set(keyOf(tcp), { id, hostIss: tcpSeq(view, off), hostBytes: 0 });
    }
  }
  return flows;
}

function guestFrame(
  { off, len, atMs, tcp }: Laid,
  flow: ScriptFlow | undefined,
  view: DataView,
): GuestFrame {
  const base = { off, len, atMs, flow };
  if (tcp === undefined) return { ...base, tcpOff: 0, flags: 0, payloadLen: 0, acked: -1 };
  const { off: tcpOff, flags, payloadLen } = tcp;
  const acks = flow !== undefined && (flags & ACK) !== 0 && (flags & SYN) === 0;
  const acked = acks ? (tcpAck(view, tcpOff) - flow.hostIss - 1) | 0 : -1;
  return { ...base, tcpOff, flags, payloadLen, acked };
}

export function makeScript(captured: readonly CapturedFrame[], gatewayMac: Mac): Script {
  const slab = makePacketSlab(captured.reduce((sum, { bytes }) => sum + bytes.length, 0));
  const laid = layOut(captured, slab, gatewayMac);
  const flows = findFlows(laid, slab);
  const bursts: Burst[] = [];
  let burst = emptyBurst();
  const endBurst = (): void => {
    const { aborts, dials, frames } = burst;
    if (aborts.length + dials.length + frames.length === 0) return;
    bursts.push(burst);
    burst = emptyBurst();
  };
  for (const frame of laid) {
    const { fromGuest, tcp } = frame;
    const flow = tcp === undefined ? undefined : flows.get(keyOf(tcp));
    if (fromGuest) {
      burst.frames.push(guestFrame(frame, flow, slab.view));
      continue;
    }
    endBurst();
    if (tcp === undefined || flow === undefined) continue;
    if ((tcp.flags & (SYN | ACK)) === SYN) burst.dials.push(flow);
    if ((tcp.flags & RST) !== 0) burst.aborts.push(flow);
  }
  endBurst();
  const frames = bursts.reduce((sum, one) => sum + one.frames.length, 0);
  return { slab, bursts, frames, lengthMs: captured.at(-1)?.atMs ?? 0 };
}

const emptyBurst = (): { dials: ScriptFlow[]; aborts: ScriptFlow[]; frames: GuestFrame[] } => ({
  dials: [],
  aborts: [],
  frames: [],
});
