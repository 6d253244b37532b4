/** Guest to guest: frames that a link vouched for are summed and cut for a link that does not. */
import assert from 'node:assert/strict';
import { ipv4 } from '../../src/base/ip-address.ts';
import { seededRandom } from '../../src/base/random.ts';
import { slabOver } from '../../src/base/slab.ts';
import type { FrameReader } from '../../src/stack/link.ts';
import { Stack } from '../../src/stack/stack.ts';
import { pseudoAddressSum, pseudoSum } from '../../src/wire/checksum.ts';
import { checkIpv4, ipv4TotalLength, PROTOCOL_TCP, PROTOCOL_UDP } from '../../src/wire/ipv4.ts';
import { checkTcp, tcpFlags } from '../../src/wire/tcp.ts';
import { checkUdp } from '../../src/wire/udp.ts';
import {
  arpFrame,
  ethernetFrame,
  GATEWAY_IP,
  GATEWAY_MAC,
  GUEST_IP,
  GUEST_MAC,
  HOST_IP,
  parseTcp,
  tcpFrame,
  udpFrame,
  viewOf,
} from '../support/frames.ts';
import { RecordingWriter, Script } from '../support/script.ts';

const OTHER_IP = 0xc0a8_7f03 | 0;
const OTHER_MAC = 0x5254_0012_9999;
const L3 = 14;
const L4 = 34;

const sumOf = (protocol: number): number =>
  pseudoAddressSum(Int32Array.of(0, 0, 0, GUEST_IP, 0, 0, 0, OTHER_IP), 0, 4, 4, protocol);

/** A stack with two guests whose addresses it knows. */
class Segment {
  readonly first = new RecordingWriter();
  readonly second = new RecordingWriter();
  readonly stack: Stack;
  private readonly reader: FrameReader;

  constructor() {
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
      },
      0,
      seededRandom(1),
      new Script(),
    );
    const one = this.stack.attach(0, 'one', this.first);
    const two = this.stack.attach(0, 'two', this.second);
    assert.ok(one !== undefined && two !== undefined);
    this.reader = one;
    feed(one, arpFrame(1, GUEST_MAC, GUEST_IP, GATEWAY_IP), false);
    feed(two, arpFrame(1, OTHER_MAC, OTHER_IP, GATEWAY_IP), false);
    this.second.take();
  }

  /** From the first guest to the second. */
  send(frame: Uint8Array, trusted: boolean): Uint8Array[] {
    viewOf(frame).setUint16(0, Math.floor(OTHER_MAC / 0x1_0000_0000));
    viewOf(frame).setUint32(2, OTHER_MAC % 0x1_0000_0000);
    feed(this.reader, frame, trusted);
    return this.second.take();
  }
}

function feed(reader: FrameReader, frame: Uint8Array, trusted: boolean): void {
  reader.onFrame(0, slabOver(frame), 0, frame.length, trusted);
  reader.onBatchEnd(0);
}

const body = (len: number): Uint8Array => Uint8Array.from({ length: len }, (_, i) => (i * 7) & 255);
const to = { dst: OTHER_IP };

/** Leave only what a kernel with checksum offload leaves in the checksum field. */
function unsum(frame: Uint8Array, protocol: number): Uint8Array {
  const view = viewOf(frame);
  const len = ipv4TotalLength(view, L3) - 20;
  view.setUint16(L4 + (protocol === PROTOCOL_TCP ? 16 : 6), pseudoSum(sumOf(protocol), len));
  return frame;
}

function assertSound(frame: Uint8Array): void {
  const view = viewOf(frame);
  assert.equal(checkIpv4(view, L3, frame.length - L3), undefined);
  const len = ipv4TotalLength(view, L3) - 20;
  assert.equal(checkTcp(view, L4, len, sumOf(PROTOCOL_TCP)), undefined);
}

describe('stack/forward', () => {
  it('copies a frame that needs nothing as it is', () => {
    const frame = tcpFrame({ data: body(100) }, to);
    const [copy] = new Segment().send(frame, false);
    assert.deepEqual(copy, frame);
  });

  it('completes the checksum of a TCP segment that was left to the link', () => {
    const [copy] = new Segment().send(unsum(tcpFrame({ data: body(100) }, to), PROTOCOL_TCP), true);
    assert.ok(copy !== undefined);
    assertSound(copy);
  });

  it('completes the checksum of a UDP datagram that was left to the link', () => {
    const frame = unsum(udpFrame(7000, 7001, body(99), to), PROTOCOL_UDP);
    const [copy] = new Segment().send(frame, true);
    assert.ok(copy !== undefined);
    assert.equal(checkUdp(viewOf(copy), L4, 107, sumOf(PROTOCOL_UDP)), undefined);
  });

  it('cuts a large segment: sums hold, numbers go on, only the last has FIN and PSH', () => {
    const data = body(10_000);
    const frame = unsum(tcpFrame({ seq: 0x7fff_ff00, flags: 'FPA', data }, to), PROTOCOL_TCP);
    const pieces = new Segment().send(frame, true);
    assert.equal(pieces.length, Math.ceil(10_000 / 1460));
    const joined: number[] = [];
    pieces.forEach((piece, i) => {
      assert.ok(piece.length <= 1514);
      assertSound(piece);
      const record = parseTcp(piece);
      assert.equal((record.seq - 0x7fff_ff00) | 0, joined.length);
      const last = i === pieces.length - 1;
      assert.equal(tcpFlags(viewOf(piece), L4), last ? 0x19 : 0x10);
      joined.push(...record.data);
    });
    assert.deepEqual(Uint8Array.from(joined), data);
  });

  it('leaves sum and cut to a link that does both', () => {
    const segment = new Segment();
    segment.second.offload = true;
    const frame = unsum(tcpFrame({ data: body(10_000) }, to), PROTOCOL_TCP);
    assert.equal(segment.send(frame, true).length, 1);
    assert.deepEqual(segment.second.gsoSizes, [1460]);
    segment.send(unsum(tcpFrame({ data: body(10) }, to), PROTOCOL_TCP), true);
    assert.deepEqual(segment.second.gsoSizes, [1460, 0]);
  });

  it('passes on what is not IPv4, and fragments, unchanged', () => {
    const segment = new Segment();
    const odd = ethernetFrame(0x88b5, 60, GUEST_MAC, OTHER_MAC);
    assert.equal(segment.send(odd, true).length, 1);
    const fragment = udpFrame(1, 2, body(64), { ...to, fragment: 0x2000 });
    const before = fragment.slice();
    const [copy] = segment.send(fragment, true);
    assert.deepEqual(copy?.subarray(L3), before.subarray(L3));
  });

  it('lets no guest tell another that the gateway’s or the host’s address is its own', () => {
    for (const address of [GATEWAY_IP, HOST_IP]) {
      for (const operation of [1, 2]) {
        const segment = new Segment();
        assert.equal(
          segment.send(arpFrame(operation, GUEST_MAC, address, OTHER_IP), false).length,
          0,
        );
        assert.equal(segment.stack.drops.get('arp-claims-our-address'), 1);
        assert.equal(
          segment.send(arpFrame(operation, GUEST_MAC, GUEST_IP, address), false).length,
          1,
        );
      }
    }
  });

  it('counts what it cannot forward: a broken header, a full link', () => {
    const segment = new Segment();
    const broken = tcpFrame({ data: body(10) }, to);
    broken[L3] = 0x40;
    assert.equal(segment.send(broken, true).length, 0);
    segment.second.full = true;
    for (const offload of [false, true]) {
      segment.second.offload = offload;
      segment.send(unsum(tcpFrame({ data: body(5000) }, to), PROTOCOL_TCP), true);
    }
    segment.send(tcpFrame({ data: body(10) }, to), false);
    assert.equal(segment.stack.drops.get('frame-forward-failed'), 4);
  });
});
