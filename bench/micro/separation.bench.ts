/** A frame on the segment, from a link to another or to the host, as the guests are separated, isolated or trusted. */
import { ipv4 } from '../../src/base/ip-address.ts';
import { seededRandom } from '../../src/base/random.ts';
import { makePacketSlab, type Slab } from '../../src/base/slab.ts';
import { Frame } from '../../src/stack/frame.ts';
import type { FrameReader, FrameWriter } from '../../src/stack/link.ts';
import type { SeparationMode } from '../../src/stack/separation/separation.ts';
import { Stack } from '../../src/stack/stack.ts';
import {
  arpFrame,
  GATEWAY_IP,
  GATEWAY_MAC,
  GUEST_IP,
  GUEST_MAC,
  HOST_IP,
  tcpFrame,
  udpFrame,
} from '../../test/support/frames.ts';
import { frame6 } from '../../test/support/frames6.ts';
import { Script } from '../../test/support/script.ts';
import { runSuite } from './suite.ts';

const OTHER_MAC = 0x5254_0012_9999;
const OTHER_IP = GUEST_IP + 1;
const MACHINES = 16;

class Sink implements FrameWriter {
  readonly slab: Slab = makePacketSlab(131_072);
  readonly offload = true;
  readonly isCrowded = false;
  reserve(): number {
    return 0;
  }
  commit(): void {}
  commitOffload(): void {}
  flush(): void {}
}

class Bench {
  private readonly stack: Stack;
  private readonly one: FrameReader;
  private readonly frame = new Frame();
  private readonly slab: Slab = makePacketSlab(131_072);
  private at = 0;

  constructor(mode: SeparationMode) {
    this.stack = new Stack(
      {
        subnet: ipv4(0xc0a8_7f00 | 0),
        prefixLen: 24,
        gateway: ipv4(GATEWAY_IP),
        host: ipv4(HOST_IP),
        mtu: 1500,
        mac: GATEWAY_MAC,
        verifyChecksums: false,
        tcp: {},
        separation: { mode, allowed: [] },
      },
      0,
      seededRandom(1),
      new Script(),
    );
    const [one, two] = [this.attach('one'), this.attach('two')];
    this.one = one;
    this.send(two, this.load(arpFrame(1, OTHER_MAC, OTHER_IP, GATEWAY_IP)));
    this.send(one, this.load(arpFrame(1, GUEST_MAC, GUEST_IP, GATEWAY_IP)));
  }

  private attach(name: string): FrameReader {
    const reader = this.stack.attach(0, name, new Sink());
    if (reader === undefined) throw new Error('no room for a link');
    return reader;
  }

  /** @returns a function that sends the frames in turn */
  sender(...frames: readonly Uint8Array[]): () => void {
    const places = frames.map((frame) => ({ off: this.load(frame), len: frame.length }));
    let next = 0;
    return () => {
      const place = places[next];
      next = next + 1 < places.length ? next + 1 : 0;
      if (place === undefined) return;
      this.one.onFrame(0, this.frame.set(this.slab, place.off, place.len));
    };
  }

  private send(reader: FrameReader, off: number): void {
    reader.onFrame(0, this.frame.set(this.slab, off, 60));
    reader.onBatchEnd(0);
  }

  private load(frame: Uint8Array): number {
    const off = this.at;
    this.slab.bytes.set(frame, off);
    this.at += (frame.length + 15) & ~15;
    return off;
  }
}

const to = { dst: OTHER_IP, dstMac: OTHER_MAC };
const small = tcpFrame({ data: new Uint8Array(10) }, to);
const full = tcpFrame({ data: new Uint8Array(1448) }, to);
const machines = Array.from({ length: MACHINES }, (_, i) =>
  tcpFrame(
    { data: new Uint8Array(10) },
    { ...to, src: GUEST_IP + 10 + i, srcMac: GUEST_MAC + 4 * (i + 1) },
  ),
);
const CASES: readonly (readonly [string, readonly Uint8Array[]])[] = [
  ['64 bytes of TCP to another guest', [small]],
  ['1,500 bytes of TCP to another guest', [full]],
  ['64 bytes of UDP to another guest', [udpFrame(1, 2, new Uint8Array(20), to)]],
  [
    '64 bytes over IPv6 to another guest',
    [frame6(6, new Array<number>(20).fill(0), { dstMac: OTHER_MAC })],
  ],
  [`64 bytes to another guest, from ${MACHINES} machines in turn`, machines],
  [
    'a later fragment of UDP to the gateway',
    [udpFrame(1, 2, new Uint8Array(20), { dst: GATEWAY_IP, fragment: 0x1fff })],
  ],
];
for (const [name, frames] of CASES) {
  runSuite(name, {
    separate: new Bench('separate').sender(...frames),
    trust: new Bench('trust').sender(...frames),
  });
}
