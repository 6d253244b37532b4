/** Guest to guest: sums and segments that a link left undone are handed on, or completed for a link that must have them. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ipv4 } from '../../src/base/ip-address.ts';
import { seededRandom } from '../../src/base/random.ts';
import type { Frame, FrameWork } from '../../src/stack/frame.ts';
import type { FrameReader } from '../../src/stack/link.ts';
import type { SeparationMode } from '../../src/stack/separation/separation.ts';
import { Stack } from '../../src/stack/stack.ts';
import { pseudoAddressSum, pseudoSum, sum16 } from '../../src/wire/checksum.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../src/wire/ipv4.ts';
import {
  arpFrame,
  ethernetFrame,
  GATEWAY_IP,
  GATEWAY_MAC,
  GUEST_IP,
  GUEST_MAC,
  HOST_IP,
  tcpFrame,
  udpFrame,
  viewOf,
} from '../support/frames.ts';
import { frameOver } from '../support/lend.ts';
import { RecordingWriter, Script } from '../support/script.ts';

const OTHER_IP = 0xc0a8_7f03 | 0;
const OTHER_MAC = 0x5254_0012_9999;
const L3 = 14;
const L4 = 34;
const MSS = 1460;
const to = { dst: OTHER_IP };

/** A stack with two guests whose addresses it knows. */
class Segment {
  readonly first = new RecordingWriter();
  readonly second = new RecordingWriter();
  readonly upper = new Script();
  readonly stack: Stack;
  private readonly reader: FrameReader;
  private readonly other: FrameReader;

  constructor(mode: SeparationMode = 'separate') {
    this.stack = new Stack(
      {
        subnet: ipv4(0xc0a8_7f00 | 0),
        prefixLen: 24,
        gateway: ipv4(GATEWAY_IP),
        host: ipv4(HOST_IP),
        mtu: 1500,
        mac: GATEWAY_MAC,
        verifyChecksums: true,
        tcp: {},
        separation: { mode, allowed: [] },
      },
      0,
      seededRandom(1),
      this.upper,
    );
    const one = this.stack.attach(0, 'one', this.first);
    const two = this.stack.attach(0, 'two', this.second);
    assert.ok(one !== undefined && two !== undefined);
    this.reader = one;
    this.other = two;
    feed(one, frameOver(arpFrame(1, GUEST_MAC, GUEST_IP, GATEWAY_IP)));
    feed(two, frameOver(arpFrame(1, OTHER_MAC, OTHER_IP, GATEWAY_IP)));
    this.second.take();
  }

  /** From the first guest to all others. */
  broadcast(bytes: Uint8Array): void {
    bytes.fill(0xff, 0, 6);
    feed(this.reader, frameOf(bytes));
    this.second.take();
  }

  /** From the first guest to the second. */
  send(bytes: Uint8Array, work?: Partial<FrameWork>): Uint8Array[] {
    viewOf(bytes).setUint16(0, Math.floor(OTHER_MAC / 0x1_0000_0000));
    viewOf(bytes).setUint32(2, OTHER_MAC % 0x1_0000_0000);
    feed(this.reader, frameOf(bytes, work));
    return this.second.take();
  }

  /** From the second guest to the first. */
  sendBack(bytes: Uint8Array): void {
    feed(this.other, frameOver(bytes));
  }

  /** The second guest asks the gateway, which answers. */
  askAsSecond(): void {
    feed(this.other, frameOver(arpFrame(1, OTHER_MAC, OTHER_IP, GATEWAY_IP)));
  }

  /** From the first guest to the gateway. */
  sendUp(bytes: Uint8Array, work?: Partial<FrameWork>): void {
    feed(this.reader, frameOf(bytes, work));
  }
}

function frameOf(bytes: Uint8Array, work?: Partial<FrameWork>): Frame {
  const frame = frameOver(bytes);
  return work === undefined ? frame : Object.assign(frame, { checksum: 'partial' }, work);
}

function feed(reader: FrameReader, frame: Frame): void {
  reader.onFrame(0, frame);
  reader.onBatchEnd(0);
}

const body = (len: number): Uint8Array => Uint8Array.from({ length: len }, (_, i) => (i * 7) & 255);

/** What carries the upper layer: its header's place, and how the family writes length and sum. */
interface Carrier {
  readonly name: string;
  readonly family: 4 | 6;
  /** Of the segment: only a plain switch forwards what is not plain. */
  readonly mode: SeparationMode;
  /** Of the upper layer, and of the IP header. */
  readonly l4: number;
  readonly l3: number;
  wrap(protocol: number, l4: Uint8Array): Uint8Array;
}

function insert(frame: Uint8Array, at: number, hex: string): Uint8Array {
  const head = frame.subarray(0, at);
  return Uint8Array.from([...head, ...Buffer.from(hex, 'hex'), ...frame.subarray(at)]);
}

function wrap4(protocol: number, l4: Uint8Array): Uint8Array {
  const frame =
    protocol === PROTOCOL_TCP
      ? tcpFrame({ data: l4.subarray(20) }, to)
      : udpFrame(1, 2, l4.subarray(8), { ...to, fragment: 0x4000 });
  frame.set(l4, L4);
  return frame;
}

function wrap6(protocol: number, l4: Uint8Array): Uint8Array {
  const frame = ethernetFrame(0x86dd, 40 + l4.length);
  const view = viewOf(frame);
  view.setUint32(L3, 0x6000_0000);
  view.setUint16(L3 + 4, l4.length);
  view.setUint16(L3 + 6, (protocol << 8) | 64);
  frame.set(Buffer.from(`fd09${'00'.repeat(13)}01fd09${'00'.repeat(13)}02`, 'hex'), L3 + 8);
  frame.set(l4, L3 + 40);
  return frame;
}

const CARRIERS: readonly Carrier[] = [
  { name: 'IPv4', mode: 'separate', family: 4, l3: L3, l4: L4, wrap: wrap4 },
  { name: 'IPv6', mode: 'separate', family: 6, l3: L3, l4: L3 + 40, wrap: wrap6 },
  {
    name: 'IPv4 in a VLAN',
    mode: 'trust',
    family: 4,
    l3: L3 + 4,
    l4: L4 + 4,
    wrap: (protocol, l4) => insert(wrap4(protocol, l4), 12, '81000007'),
  },
  {
    name: 'IPv6 in a VLAN in a VLAN',
    mode: 'trust',
    family: 6,
    l3: L3 + 8,
    l4: L3 + 48,
    wrap: (protocol, l4) => insert(wrap6(protocol, l4), 12, '88a8000781000008'),
  },
];

/** Sum of a pseudo-header, without its length. */
function pseudoOf({ family, l3 }: Carrier, frame: Uint8Array, protocol: number): number {
  const view = viewOf(frame);
  const words = new Int32Array(8);
  if (family === 4) {
    words[3] = view.getInt32(l3 + 12);
    words[7] = view.getInt32(l3 + 16);
  } else for (let i = 0; i < 8; i++) words[i] = view.getInt32(l3 + 8 + 4 * i);
  return pseudoAddressSum(words, 0, 4, family, protocol);
}

/** A frame as a kernel with checksum offload leaves it: only the pseudo-header is summed. */
function unsummed(carrier: Carrier, protocol: number, payload: Uint8Array): Uint8Array {
  const tcp = protocol === PROTOCOL_TCP;
  const l4 = new Uint8Array((tcp ? 20 : 8) + payload.length);
  const head = tcp ? '9c400050000010000000200050d9ffff00000000' : `1b581b59${'0000'}0000`;
  l4.set(Buffer.from(head, 'hex'));
  l4.set(payload, tcp ? 20 : 8);
  if (!tcp) viewOf(l4).setUint16(4, l4.length);
  const frame = carrier.wrap(protocol, l4);
  const sum = pseudoSum(pseudoOf(carrier, frame, protocol), l4.length);
  viewOf(frame).setUint16(carrier.l4 + (tcp ? 16 : 6), sum);
  return frame;
}

const workOf = (carrier: Carrier, protocol: number): Partial<FrameWork> => ({
  csumStart: carrier.l4,
  csumOffset: protocol === PROTOCOL_TCP ? 16 : 6,
});

function assertSound(carrier: Carrier, frame: Uint8Array, protocol: number): void {
  const view = viewOf(frame);
  const { l3, l4, family } = carrier;
  if (family === 4) {
    assert.equal(sum16(view, l3, 20), 0xffff);
    assert.equal(view.getUint16(l3 + 2), frame.length - l3);
  } else assert.equal(view.getUint16(l3 + 4), frame.length - l3 - 40);
  const len = frame.length - l4;
  const pseudo = pseudoSum(pseudoOf(carrier, frame, protocol), len);
  assert.equal(sum16(view, l4, len, pseudo), 0xffff);
  if (protocol === PROTOCOL_UDP) assert.equal(view.getUint16(l4 + 4), len);
}

const NAMES = { [PROTOCOL_TCP]: 'TCP', [PROTOCOL_UDP]: 'UDP' };

describe('stack/forward', () => {
  describe('a frame above the MTU', () => {
    const [v4, v6] = CARRIERS;
    const largeOf = (carrier: Carrier | undefined): Uint8Array => {
      assert.ok(carrier !== undefined);
      return carrier.wrap(PROTOCOL_UDP, udpOf(3000));
    };
    const udpOf = (len: number): Uint8Array => {
      const l4 = new Uint8Array(8 + len);
      viewOf(l4).setUint16(4, l4.length);
      return l4;
    };
    const last = (frames: Uint8Array[]): Uint8Array => {
      const frame = frames.at(-1);
      assert.ok(frame !== undefined);
      return frame;
    };

    it('for a guest that sends none as long is dropped, counted, and answered with the MTU', () => {
      const segment = new Segment('trust');
      segment.first.take();
      assert.deepEqual(segment.send(largeOf(v4)), []);
      assert.equal(segment.stack.drops.get('frame-above-mtu'), 1);
      const error = last(segment.first.take());
      assert.deepEqual([error[L4], error[L4 + 1], viewOf(error).getUint16(L4 + 6)], [3, 4, 1500]);
    });

    it('is dropped in silence where its sender lets it be cut, or where it is not IP', () => {
      const segment = new Segment('trust');
      segment.first.take();
      const mayCut = udpFrame(1, 2, body(3000), to);
      assert.deepEqual(segment.send(mayCut), []);
      assert.deepEqual(segment.send(ethernetFrame(0x88b5, 3000, GUEST_MAC, OTHER_MAC)), []);
      assert.equal(segment.stack.drops.get('frame-above-mtu'), 2);
      assert.deepEqual(segment.first.take(), []);
    });

    it('goes to a guest that has sent one as long', () => {
      const segment = new Segment('trust');
      segment.sendBack(ethernetFrame(0x88b5, 3042, OTHER_MAC, GUEST_MAC));
      assert.equal(segment.send(largeOf(v4)).length, 1);
      assert.equal(segment.send(largeOf(v6)).length, 0, 'it is longer');
    });

    it('is dropped on its way to all, but for those that take it', () => {
      const segment = new Segment('trust');
      const frame = ethernetFrame(0x88b5, 3000, GUEST_MAC, OTHER_MAC).fill(0xff, 0, 6);
      segment.sendUp(frame);
      assert.deepEqual(segment.second.take(), []);
      assert.equal(segment.stack.drops.get('frame-above-mtu'), 1);
    });

    it('for a host is taken from a link whose guests may send it', () => {
      const segment = new Segment();
      Object.assign(segment.first, { takesLarge: true });
      segment.sendUp(udpFrame(1, 2, body(3000), { fragment: 0x4000 }));
      assert.equal(segment.upper.datagrams[0]?.data.length, 3000);
    });
  });

  it('a crowded link takes no more from guests, but what the stack sends', () => {
    const segment = new Segment();
    const datagram = (): Uint8Array => udpFrame(1, 2, body(20), to);
    segment.second.isCrowded = true;
    assert.deepEqual(segment.send(datagram()), []);
    assert.equal(segment.stack.drops.get('frame-forward-failed'), 1);
    segment.askAsSecond();
    assert.equal(segment.second.take().length, 1);
    segment.second.isCrowded = false;
    assert.equal(segment.send(datagram()).length, 1);
  });

  it('a link whose frames have a longest one takes none longer', () => {
    const segment = new Segment();
    const frame = tcpFrame({ data: body(100) }, to);
    segment.second.longestFrame = frame.length - 1;
    assert.deepEqual(segment.send(frame), []);
    assert.equal(segment.stack.drops.get('frame-forward-failed'), 1);
    segment.second.longestFrame = frame.length;
    assert.equal(segment.send(frame).length, 1);
  });

  it('copies a frame that needs nothing as it is', () => {
    const frame = tcpFrame({ data: body(100) }, to);
    const [copy] = new Segment().send(frame);
    assert.deepEqual(copy, frame);
  });

  for (const carrier of CARRIERS) {
    for (const protocol of [PROTOCOL_TCP, PROTOCOL_UDP] as const) {
      it(`completes the checksum of ${NAMES[protocol]} over ${carrier.name}`, () => {
        for (const len of [0, 1, 99, 1400]) {
          const frame = unsummed(carrier, protocol, body(len));
          const before = frame.slice();
          const [copy] = new Segment(carrier.mode).send(frame, workOf(carrier, protocol));
          assert.ok(copy !== undefined);
          assert.equal(copy.length, frame.length);
          assertSound(carrier, copy, protocol);
          assert.deepEqual(frame.subarray(12), before.subarray(12), 'the frame is only lent');
        }
      });

      it(`hands ${NAMES[protocol]} over ${carrier.name} unsummed to a link that sums`, () => {
        const segment = new Segment(carrier.mode);
        segment.second.offload = true;
        const frame = unsummed(carrier, protocol, body(100));
        const work = workOf(carrier, protocol);
        assert.deepEqual(segment.send(frame, work), [frame]);
        const [{ csumStart, csumOffset, gsoSize } = { csumStart: 0, csumOffset: 0, gsoSize: 1 }] =
          segment.second.works;
        assert.deepEqual({ csumStart, csumOffset, gsoSize }, { ...work, gsoSize: 0 });
      });
    }

    const gsoType = carrier.family === 4 ? 'tcp4' : 'tcp6';
    it(`cuts a large segment over ${carrier.name}: sums hold, numbers go on, only the first has CWR, the last FIN and PSH`, () => {
      const data = body(10_000);
      const frame = unsummed(carrier, PROTOCOL_TCP, data);
      const work = { ...workOf(carrier, PROTOCOL_TCP), gsoType, gsoSize: MSS } as const;
      const pieces = new Segment(carrier.mode).send(frame, work);
      assert.equal(pieces.length, Math.ceil(10_000 / MSS));
      const joined: number[] = [];
      pieces.forEach((piece, i) => {
        const view = viewOf(piece);
        assert.ok(piece.length <= carrier.l4 + 20 + MSS);
        assertSound(carrier, piece, PROTOCOL_TCP);
        assert.equal(view.getInt32(carrier.l4 + 4), 0x1000 + joined.length);
        const [first, last] = [i === 0, i === pieces.length - 1];
        assert.equal(piece[carrier.l4 + 13], 0x50 | (first ? 0x80 : 0) | (last ? 0x09 : 0));
        if (carrier.family === 4) {
          assert.equal(view.getUint16(carrier.l3 + 4), viewOf(frame).getUint16(carrier.l3 + 4) + i);
        }
        joined.push(...piece.subarray(carrier.l4 + 20));
      });
      assert.deepEqual(Uint8Array.from(joined), data);
    });

    it(`leaves a large segment over ${carrier.name} to a link that cuts`, () => {
      const segment = new Segment(carrier.mode);
      segment.second.offload = true;
      const frame = unsummed(carrier, PROTOCOL_TCP, body(10_000));
      const work = { ...workOf(carrier, PROTOCOL_TCP), gsoType, gsoSize: 1400 } as const;
      assert.deepEqual(segment.send(frame, work), [frame]);
      const [handed] = segment.second.works;
      assert.deepEqual([handed?.gsoType, handed?.gsoSize], [gsoType, 1400]);
    });

    it(`parts the datagrams that came in one frame over ${carrier.name}`, () => {
      for (const offload of [false, true]) {
        const segment = new Segment(carrier.mode);
        segment.second.offload = offload;
        const frame = unsummed(carrier, PROTOCOL_UDP, body(3000));
        const work = { ...workOf(carrier, PROTOCOL_UDP), gsoType: 'udp', gsoSize: 1200 } as const;
        const pieces = segment.send(frame, work);
        const lens = pieces.map((piece) => piece.length - carrier.l4 - 8);
        assert.deepEqual(lens, [1200, 1200, 600]);
        if (!offload) for (const piece of pieces) assertSound(carrier, piece, PROTOCOL_UDP);
        else assert.ok(segment.second.works.every(({ gsoSize }) => gsoSize === 0));
        const joined = pieces.flatMap((piece) => [...piece.subarray(carrier.l4 + 8)]);
        assert.deepEqual(Uint8Array.from(joined), body(3000));
      }
    });
  }

  it('takes the datagrams that came in one frame one by one, when they are for the host', () => {
    const segment = new Segment();
    const carrier = CARRIERS[0];
    assert.ok(carrier !== undefined);
    const frame = unsummed(carrier, PROTOCOL_UDP, body(3000));
    const work = { ...workOf(carrier, PROTOCOL_UDP), gsoType: 'udp', gsoSize: 1200 } as const;
    segment.sendUp(frame, work);
    assert.deepEqual(
      segment.upper.datagrams.map(({ data }) => data.length),
      [1200, 1200, 600],
    );
  });

  it('passes on what is not IP, and fragments, unchanged', () => {
    const segment = new Segment('trust');
    const odd = ethernetFrame(0x88b5, 60, GUEST_MAC, OTHER_MAC);
    assert.equal(segment.send(odd).length, 1);
    const fragment = udpFrame(1, 2, body(64), { ...to, fragment: 0x2000 });
    const before = fragment.slice();
    const [copy] = segment.send(fragment);
    assert.deepEqual(copy?.subarray(L3), before.subarray(L3));
  });

  it('lets no guest tell another that the gateway’s or the host’s address is its own', () => {
    for (const address of [GATEWAY_IP, HOST_IP]) {
      for (const operation of [1, 2]) {
        const segment = new Segment();
        assert.equal(segment.send(arpFrame(operation, GUEST_MAC, address, OTHER_IP)).length, 0);
        assert.equal(segment.stack.drops.get('arp-claims-our-address'), 1);
        assert.equal(segment.send(arpFrame(operation, GUEST_MAC, GUEST_IP, address)).length, 1);
      }
    }
  });

  it('frames to all guests are limited for each guest, and those to one are not', () => {
    const segment = new Segment();
    for (let i = 0; i < 5000; i++) segment.broadcast(tcpFrame({ data: body(10) }, to));
    assert.equal(segment.stack.drops.get('frame-storm'), 1001, 'the ARP of before counts');
    assert.equal(segment.send(tcpFrame({ data: body(10) }, to)).length, 1);
  });

  it('counts what it cannot forward: headers that are not what the link says, a full link', () => {
    const segment = new Segment('trust');
    const [v4, v6] = CARRIERS;
    assert.ok(v4 !== undefined && v6 !== undefined);
    const large = { ...workOf(v4, PROTOCOL_TCP), gsoType: 'tcp4', gsoSize: MSS } as const;
    const frame = (): Uint8Array => unsummed(v4, PROTOCOL_TCP, body(5000));
    const hostile: [Uint8Array, Partial<FrameWork>][] = [
      [frame(), { ...large, csumStart: L4 - 4 }],
      [frame(), { ...large, csumOffset: 60 }],
      [frame(), { ...large, gsoSize: 1 }],
      [frame().fill(0, L4 + 12, L4 + 13), large],
      [frame().fill(0xff, 12, 14), large],
      [unsummed(v6, PROTOCOL_TCP, body(5000)), large],
    ];
    for (const [bytes, work] of hostile) assert.equal(segment.send(bytes, work).length, 0);
    assert.equal(segment.stack.drops.get('frame-forward-failed'), hostile.length);
    segment.second.full = true;
    for (const offload of [false, true]) {
      segment.second.offload = offload;
      segment.send(frame(), large);
    }
    segment.send(tcpFrame({ data: body(10) }, to));
    assert.equal(segment.stack.drops.get('frame-forward-failed'), hostile.length + 3);
    segment.sendUp(frame(), { ...large, gsoType: 'udp', gsoSize: 1 });
    segment.sendUp(frame(), { ...large, csumStart: 60_000 });
    segment.send(frame(), { csumStart: 5052, csumOffset: 1 });
    segment.send(frame(), { csumStart: 13, csumOffset: 1 });
    assert.equal(segment.stack.drops.get('frame-bad-offload'), 4);
  });

  it('never throws on hostile bytes: it cuts or counts', () => {
    const gso = fc.constantFrom('tcp4', 'tcp6', 'udp');
    const place = fc.nat({ max: 120 });
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 14, maxLength: 200 }),
        fc.constantFrom(0x0800, 0x86dd, 0x8100, 0x88b5),
        gso,
        place,
        place,
        fc.nat({ max: 100 }),
        (bytes, type, gsoType, csumStart, csumOffset, gsoSize) => {
          viewOf(bytes).setUint16(6, 0x5254);
          viewOf(bytes).setUint16(12, type);
          new Segment().send(bytes, { csumStart, csumOffset, gsoType, gsoSize });
        },
      ),
    );
  });
});
