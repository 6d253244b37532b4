/** IPv4, fragments, ICMP, ARP, UDP and the switch, as packet scripts. One row a rule. */
import assert from 'node:assert/strict';
import { ipv4 } from '../../src/base/ip-address.ts';
import type { FrameReader } from '../../src/stack/link.ts';
import { sum16 } from '../../src/wire/checksum.ts';
import { IPV4_DF, IPV4_MF, PROTOCOL_ICMP, PROTOCOL_UDP } from '../../src/wire/ipv4.ts';
import { writeMac } from '../../src/wire/mac.ts';
import { checkUdp } from '../../src/wire/udp.ts';
import {
  arpFrame,
  echoFrame,
  ethernetFrame,
  fragmentOf,
  GATEWAY_IP,
  GATEWAY_MAC,
  GUEST_IP,
  GUEST_MAC,
  HOST_IP,
  type IpFields,
  ipFrame,
  isArp,
  l3Of,
  l4Of,
  protocolOf,
  SERVER_IP,
  udpFrame,
  udpPacket,
  viewOf,
} from '../support/frames.ts';
import { frameOver, lend } from '../support/lend.ts';
import { permute } from '../support/permute.ts';
import { RecordingWriter, Script } from '../support/script.ts';

const OTHER_MAC = 0x5254_0000_0002;
const BROADCAST = 0xffff_ffff_ffff;
const bytes = (len: number): Uint8Array =>
  Uint8Array.from({ length: len }, (_, i) => (i * 7) & 255);
const id = { guest: ipv4(GUEST_IP), guestPort: 1111, remote: ipv4(SERVER_IP), remotePort: 53 };

/** Type and code of the ICMP messages sent since the last look. */
const icmpOut = (s: Script): number[][] =>
  s.writer
    .take()
    .filter((frame) => protocolOf(frame) === PROTOCOL_ICMP)
    .map((frame) => [l4Of(frame)[0] ?? 0, l4Of(frame)[1] ?? 0]);

/** Cut an IP payload into fragments of `size` bytes. */
function cut(l4: Uint8Array, size: number, ip: { id?: number; dst?: number } = {}): Uint8Array[] {
  const out: Uint8Array[] = [];
  for (let at = 0; at < l4.length; at += size) {
    const more = at + size < l4.length ? IPV4_MF : 0;
    out.push(
      ipFrame(PROTOCOL_UDP, l4.subarray(at, at + size), {
        id: 7,
        ...ip,
        fragment: (at >> 3) | more,
      }),
    );
  }
  return out;
}

describe('stack/ipv4', () => {
  const drops: readonly (readonly [string, Uint8Array])[] = [
    ['frame-truncated', new Uint8Array(13)],
    ['frame-unknown-type', ethernetFrame(0x88b5, 40)],
    ['frame-bad-source', ethernetFrame(0x0800, 40, BROADCAST)],
    ['frame-bad-source', ethernetFrame(0x0800, 40, 0)],
    ['frame-bad-source', ethernetFrame(0x0800, 40, GATEWAY_MAC)],
    ['ipv4-truncated', ethernetFrame(0x0800, 19)],
    ['ipv4-source-not-on-subnet', udpFrame(1, 2, bytes(4), { src: 0x0101_0101 })],
    ['ipv4-source-not-on-subnet', udpFrame(1, 2, bytes(4), { src: GATEWAY_IP })],
    ['ipv4-source-not-on-subnet', udpFrame(1, 2, bytes(4), { src: HOST_IP })],
    ['ipv4-source-not-on-subnet', udpFrame(1, 2, bytes(4), { src: GATEWAY_IP | 255 })],
    ['udp-group-destination', udpFrame(1, 2, bytes(4), { dst: -1 })],
    ['udp-group-destination', udpFrame(1, 2, bytes(4), { dst: 0xe000_00fb | 0 })],
    ['ipv4-bad-source', udpFrame(1, 2, bytes(4), { src: 0 })],
    ['ipv4-unknown-protocol', ipFrame(132, bytes(20))],
    ['udp-no-service', udpFrame(68, 67, bytes(4), { dst: -1, src: 0 })],
    ['udp-truncated', ipFrame(17, bytes(4))],
    ['icmp-truncated', ipFrame(1, bytes(4))],
    ['icmp-bad-checksum', ipFrame(1, bytes(40))],
    ['icmp-not-for-us', echoFrame(1, 1, bytes(4), { dst: -1 })],
    ['tcp-truncated', ipFrame(6, bytes(4))],
    ['arp-truncated', ethernetFrame(0x0806, 20)],
    ['fragment-bad-length', ipFrame(17, bytes(9), { fragment: IPV4_MF })],
    ['fragment-bad-length', ipFrame(17, bytes(0), { fragment: IPV4_MF })],
    ['fragment-bad-length', ipFrame(17, bytes(800), { fragment: 0x1fff })],
  ];
  for (const [reason, frame] of drops) {
    it(`counts ${reason}`, () =>
      assert.deepEqual(new Script().frames(frame).drops(), { [reason]: 1 }));
  }

  it('drops what is larger than any frame', () => {
    const s = new Script();
    s.reader.onFrame(s.now, frameOver(new Uint8Array(70_000)));
    assert.deepEqual(s.drops(), { 'frame-oversized': 1 });
  });

  it('answers DF above the MTU with ICMP 3/4 and the MTU', () => {
    const s = new Script({ mtu: 1400 }).frames(udpFrame(1, 2, bytes(1450), { fragment: IPV4_DF }));
    const [frame] = s.writer.take();
    assert.ok(frame);
    const l4 = l4Of(frame);
    assert.deepEqual([l4[0], l4[1], viewOf(l4).getUint16(6)], [3, 4, 1400]);
    assert.deepEqual(s.datagrams, []);
  });

  it('TTL 1 beyond the gateway is answered with time exceeded; to the gateway and host it is taken', () => {
    const s = new Script();
    s.frames(udpFrame(1, 2, bytes(4), { ttl: 1 }));
    assert.deepEqual(icmpOut(s), [[11, 0]]);
    s.frames(echoFrame(1, 1, bytes(4), { ttl: 1, dst: GATEWAY_IP }));
    assert.deepEqual(icmpOut(s), [[0, 0]]);
    s.frames(udpFrame(1, 2, bytes(4), { ttl: 1, dst: HOST_IP }));
    assert.equal(s.datagrams.length, 1);
  });

  it('there is no error about an error (RFC 1122 §3.2.2)', () => {
    const s = new Script();
    const unreachable = new Uint8Array(36);
    unreachable[0] = 3;
    const view = viewOf(unreachable);
    view.setUint16(2, ~sum16(view, 0, 36) & 0xffff);
    s.frames(ipFrame(1, unreachable, { ttl: 1 }));
    assert.deepEqual(s.writer.take(), []);
  });

  it('an unknown protocol is answered with ICMP 3/2', () => {
    const s = new Script();
    s.frames(ipFrame(132, bytes(20)));
    assert.deepEqual(icmpOut(s), [[3, 2]]);
  });

  it('a datagram to a closed port of the gateway goes up: who published a port may wait for it', () => {
    const s = new Script();
    s.frames(udpFrame(1, 9, bytes(4), { dst: GATEWAY_IP }));
    assert.equal(s.datagrams.length, 1);
    assert.deepEqual(s.writer.take(), []);
  });

  it('an error quotes the packet, at most 576 bytes in all', () => {
    const s = new Script();
    const frame = ipFrame(132, bytes(1000));
    s.frames(frame);
    const [error] = s.writer.take();
    assert.ok(error);
    assert.equal(l3Of(error).length, 576);
    assert.deepEqual(l4Of(error).subarray(8), l3Of(frame).subarray(0, 548));
    assert.equal(sum16(viewOf(l4Of(error)), 0, l4Of(error).length), 0xffff);
  });

  it('errors are limited to 1000 a second', () => {
    const s = new Script().settle();
    for (let i = 0; i < 1100; i++) s.frames(ipFrame(132, bytes(20)));
    assert.equal(icmpOut(s).length, 1000);
    assert.equal(s.drops()['icmp-error-rate-limited'], 100);
    s.advance(1000).frames(ipFrame(132, bytes(20)));
    assert.equal(icmpOut(s).length, 1);
  });
});

describe('stack/fragments', () => {
  const payload = bytes(92); // with the UDP header: 100 bytes, in five pieces
  const l4 = udpPacket(5, 6, payload);

  it('every order of pieces gives the datagram', () => {
    for (const order of permute(cut(l4, 24))) {
      const s = new Script().frames(...order);
      assert.equal(s.datagrams.length, 1);
      assert.deepEqual(s.datagrams[0]?.data, payload);
    }
  });

  it('a copy of any piece does no harm', () => {
    const pieces = cut(l4, 24);
    for (let i = 0; i < pieces.length; i++) {
      for (const order of permute(pieces)) {
        const copy = pieces[i];
        assert.ok(copy);
        const s = new Script().frames(order[0] ?? copy, copy, ...order.slice(1));
        assert.equal(s.datagrams.length, 1, `copy of ${i}`);
      }
    }
  });

  it('overlapping pieces kill the datagram', () => {
    const [a, b, c, d, e] = cut(l4, 24);
    const liar = ipFrame(PROTOCOL_UDP, bytes(32).fill(9), { id: 7, fragment: 2 | IPV4_MF });
    const same = ipFrame(PROTOCOL_UDP, new Uint8Array(24).fill(9), {
      id: 7,
      fragment: 3 | IPV4_MF,
    });
    const beyond = ipFrame(PROTOCOL_UDP, bytes(24), { id: 7, fragment: 20 | IPV4_MF });
    const end = ipFrame(PROTOCOL_UDP, bytes(8), { id: 7, fragment: 2 });
    assert.ok(a && b && c && d && e);
    for (const order of [
      [a, liar, b, c, d, e],
      [b, same, a, c, d, e],
      [e, beyond, a, b, c, d],
      [d, end, a, b, c, e],
    ]) {
      const s = new Script().frames(...order);
      assert.deepEqual(s.datagrams, []);
      assert.ok((s.drops()['fragment-overlap'] ?? 0) >= 1);
    }
  });

  it('gives up after 30 seconds, and reports it when it has the start (RFC 1122 §3.3.2)', () => {
    const [a, b] = cut(l4, 24);
    assert.ok(a && b);
    const s = new Script().frames(a);
    s.advance(30_100);
    assert.deepEqual(icmpOut(s), [[11, 1]]);
    assert.equal(s.drops()['fragment-timed-out'], 1);
    const silent = new Script().frames(b);
    silent.advance(30_100);
    assert.deepEqual(silent.writer.take(), []);
  });

  it('holds 64 datagrams; the oldest gives way', () => {
    const s = new Script();
    for (let i = 0; i < 70; i++) s.frames(cut(l4, 24, { id: i })[0] ?? l4);
    assert.equal(s.drops()['fragment-evicted'], 6);
  });

  it('of the guest that holds the most: another one’s pieces wait whatever it sends', () => {
    const s = new Script();
    const good = s.stack.attach(s.now, 'second', new RecordingWriter());
    assert.ok(good);
    const other = { src: GUEST_IP + 1, srcMac: OTHER_MAC };
    const flood = (n: number): void => {
      for (let i = 0; i < n; i++) s.frames(cut(l4, 24, { id: i })[0] ?? l4);
    };
    flood(100);
    for (const piece of cut(udpPacket(5, 6, payload, other), 24, { ...other, id: 7 })) {
      lend(good, s.now, piece);
      good.onBatchEnd(s.now);
      flood(100);
    }
    assert.equal(s.datagrams.length, 1);
    assert.equal(s.datagrams[0]?.key[3], GUEST_IP + 1);
  });

  it('of the listener that holds the most: more links give no more', () => {
    const s = new Script();
    const attach = (name: string): FrameReader => {
      const reader = s.stack.attach(s.now, name, new RecordingWriter());
      assert.ok(reader);
      return reader;
    };
    const evil = Array.from({ length: 70 }, (_, i) => {
      if (i % 40 === 0) s.advance(1000);
      return attach(`evil#${i}`);
    });
    const good = attach('good');
    const from = (i: number): IpFields => ({ src: GUEST_IP + i, srcMac: GUEST_MAC + 4 * i });
    const flood = (id: number): void => {
      for (const [i, reader] of evil.entries()) {
        const ip = from(10 + i);
        lend(reader, s.now, cut(udpPacket(1, 2, payload, ip), 24, { ...ip, id })[0] ?? l4);
      }
    };
    flood(1);
    const ip = from(1);
    for (const [i, piece] of cut(udpPacket(5, 6, payload, ip), 24, { ...ip, id: 7 }).entries()) {
      lend(good, s.now, piece);
      good.onBatchEnd(s.now);
      flood(2 + i);
    }
    assert.deepEqual(
      s.datagrams.map(({ key }) => key[3]),
      [GUEST_IP + 1],
    );
  });

  it('counts too many pieces', () => {
    const s = new Script();
    for (let i = 0; i < 65; i++)
      s.frames(ipFrame(17, bytes(8), { id: 3, fragment: (2 * i) | IPV4_MF }));
    assert.equal(s.drops()['fragment-too-many-pieces'], 1);
  });

  for (const mtu of [576, 1500, 9000, 65_520]) {
    it(`65,507 bytes of UDP both ways at MTU ${mtu}`, () => {
      const most = bytes(65_507);
      const s = new Script({ mtu }).announce();
      s.writer.take();
      s.frames(...cut(udpPacket(5, 6, most), (mtu - 20) & ~7));
      assert.deepEqual(s.datagrams[0]?.data, most);
      assert.ok(s.stack.sendDatagram(s.now, id, most, 0, most.length));
      const frames = s.writer.take();
      const whole = new Uint8Array(65_515);
      for (const frame of frames) {
        assert.ok(l3Of(frame).length <= mtu);
        whole.set(l4Of(frame), (fragmentOf(frame) & 0x1fff) << 3);
      }
      assert.deepEqual(whole.subarray(8), most);
      assert.equal(s.stack.sendDatagram(s.now, id, most, 0, 65_508), false);
      assert.equal(s.drops()['udp-too-long'], 1);
    });
  }

  it('a datagram that was sent in part does not lend its number to the next', () => {
    const s = new Script().announce();
    s.writer.take();
    s.writer.room = 1;
    assert.equal(s.stack.sendDatagram(s.now, id, bytes(3000), 0, 3000), false);
    s.writer.room = 100;
    assert.ok(s.stack.sendDatagram(s.now, id, bytes(3000), 0, 3000));
    const ids = s.writer.take().map((frame) => viewOf(l3Of(frame)).getUint16(4));
    assert.equal(new Set(ids).size, 2);
    assert.equal(new Set(ids.slice(1)).size, 1);
    assert.equal(s.drops()['out-link-full'], 1);
  });
});

describe('stack/icmp and udp', () => {
  it('answers echo to the gateway, at any size', () => {
    for (const len of [0, 1, 56, 1472, 4000]) {
      const s = new Script();
      const frame = echoFrame(77, 3, bytes(len), { dst: GATEWAY_IP });
      s.frames(...(len > 1472 ? cutIcmp(l4Of(frame)) : [frame]));
      const whole = s.writer.take().flatMap((f) => [...l4Of(f)]);
      assert.deepEqual(whole.slice(8), [...bytes(len)]);
      assert.deepEqual([whole[0], whole[5], whole[7]], [0, 77, 3]);
    }
  });

  it('hands echo to the gateway upward where those above decide on it', () => {
    const s = new Script();
    s.isDecidingPings = true;
    s.frames(echoFrame(7, 9, bytes(5), { dst: GATEWAY_IP }));
    assert.deepEqual(
      s.echoes.map(({ identifier, data }) => ({ identifier, data })),
      [{ identifier: 7, data: bytes(5) }],
    );
    const id = { guest: ipv4(GUEST_IP), remote: ipv4(GATEWAY_IP), identifier: 7, sequence: 9 };
    assert.ok(s.stack.sendEchoReply(s.now, id, bytes(5), 0, 5));
    assert.deepEqual(icmpOut(s), [[0, 0]]);
  });

  it('answers for a further address of the gateway, from that address', () => {
    const alias = GATEWAY_IP + 2;
    const s = new Script({ config: { alias: ipv4(alias) } });
    s.frames(arpFrame(1, GUEST_MAC, GUEST_IP, alias), echoFrame(7, 9, bytes(5), { dst: alias }));
    const [arp, echo] = s.writer.take();
    assert.ok(arp !== undefined && isArp(arp) && echo !== undefined);
    assert.equal(viewOf(l3Of(arp)).getInt32(14), alias);
    assert.equal(viewOf(l3Of(echo)).getInt32(12), alias);
    let served = 0;
    s.stack.serveUdp(53, () => served++);
    s.frames(udpFrame(9, 53, bytes(4), { dst: alias }), udpFrame(9, 53, bytes(4), { src: alias }));
    assert.equal(served, 1);
    assert.equal(s.drops()['ipv4-source-not-on-subnet'], 1);
  });

  it('hands echo to others upward, and sends their replies and errors', () => {
    const s = new Script().frames(echoFrame(7, 9, bytes(5), { ttl: 3 }));
    assert.deepEqual(s.echoes, [{ identifier: 7, sequence: 9, ttl: 3, data: bytes(5) }]);
    const id = { guest: ipv4(GUEST_IP), remote: ipv4(SERVER_IP), identifier: 7, sequence: 9 };
    assert.ok(s.stack.sendEchoReply(s.now, id, bytes(5), 0, 5));
    s.stack.sendEchoError(s.now, id, 'ttl-exceeded', ipv4(0x0101_0101));
    s.stack.sendEchoError(s.now, id, 'host-unreachable', ipv4(0x0101_0101));
    assert.deepEqual(icmpOut(s), [
      [0, 0],
      [11, 0],
      [3, 1],
    ]);
  });

  const errors = [
    ['net-unreachable', 3, 0],
    ['host-unreachable', 3, 1],
    ['port-unreachable', 3, 3],
    ['prohibited', 3, 13],
    ['ttl-exceeded', 11, 0],
  ] as const;
  for (const [error, type, code] of errors) {
    it(`reports ${error} about a datagram as ${type}/${code}, quoting its ports`, () => {
      const s = new Script().announce();
      s.writer.take();
      s.stack.sendUdpError(s.now, id, error, ipv4(0x0909_0909), 30);
      const [frame] = s.writer.take();
      assert.ok(frame);
      const l4 = l4Of(frame);
      assert.deepEqual([l4[0], l4[1]], [type, code]);
      const quoted = viewOf(l4.slice(8));
      assert.deepEqual([quoted.getInt32(12), quoted.getInt32(16)], [GUEST_IP, SERVER_IP]);
      assert.deepEqual(
        [quoted.getUint16(20), quoted.getUint16(22), quoted.getUint16(24)],
        [1111, 53, 38],
      );
      assert.equal(viewOf(l3Of(frame)).getInt32(12), 0x0909_0909);
    });
  }

  for (const [reason, code] of [
    ['host-unreachable', 1],
    ['net-unreachable', 0],
    ['prohibited', 13],
  ] as const) {
    it(`a SYN refused as ${reason} is answered with 3/${code}`, () => {
      const s = new Script();
      s.policy = 'keep';
      s.in({ flags: 'S' });
      s.requests[0]?.refuse(s.now, reason);
      assert.deepEqual(icmpOut(s), [[3, code]]);
    });
  }

  it('a datagram goes up with its addresses, and comes back with a sound checksum', () => {
    const s = new Script().frames(udpFrame(1111, 53, bytes(30)));
    assert.deepEqual(s.datagrams[0]?.data, bytes(30));
    assert.ok(s.stack.sendDatagram(s.now, id, bytes(9), 0, 9));
    const [frame] = s.writer.take();
    assert.ok(frame);
    const l4 = l4Of(frame);
    assert.equal(checkUdp(viewOf(l4), 0, l4.length, -1), undefined);
    assert.deepEqual(l4.subarray(8), bytes(9));
  });

  it('a service of the gateway is called, others are not', () => {
    const s = new Script();
    let calls = 0;
    s.stack.serveUdp(123, () => calls++);
    s.frames(udpFrame(1, 123, bytes(4), { dst: GATEWAY_IP }), udpFrame(1, 123, bytes(4)));
    assert.equal(calls, 1);
    assert.equal(s.datagrams.length, 1);
  });

  it('a service stands in for another until it is undone', () => {
    const s = new Script();
    const calls: string[] = [];
    s.stack.serveUdp(53, () => calls.push('own'));
    const undo = s.stack.serveUdp(53, () => calls.push('other'));
    const undoNew = s.stack.serveUdp(54, () => calls.push('new'));
    const ask = (...ports: readonly number[]): void => {
      for (const port of ports) s.frames(udpFrame(1, port, bytes(4), { dst: GATEWAY_IP }));
    };
    ask(53, 54);
    undo();
    undoNew();
    ask(53, 54);
    assert.deepEqual(calls, ['other', 'new', 'own']);
  });

  it('DHCP: from nobody, to all, answered by Ethernet address or broadcast', () => {
    const s = new Script();
    const seen: number[] = [];
    let address = 0;
    s.stack.serveDhcp((_now, request, out, off) => {
      seen.push(request.byteLength);
      out.bytes.fill(0, off, off + 300);
      out.view.setInt32(off + 16, address);
      writeMac(out.view, off + 28, GUEST_MAC);
      return 300;
    });
    const discover = udpFrame(68, 67, bytes(250), { src: 0, dst: -1, dstMac: BROADCAST });
    s.frames(discover);
    address = GUEST_IP;
    s.frames(discover);
    const [toAll, toOne] = s.writer.take();
    assert.ok(toAll && toOne);
    assert.deepEqual(seen, [250, 250]);
    assert.equal(viewOf(toAll).getUint16(0), 0xffff);
    assert.equal(viewOf(toOne).getUint16(0), 0x5254);
    for (const frame of [toAll, toOne]) {
      const l4 = l4Of(frame);
      assert.deepEqual(
        [viewOf(l4).getUint16(0), viewOf(l4).getUint16(2), l4.length],
        [67, 68, 308],
      );
    }
    s.frames(udpFrame(68, 67, bytes(250), { dst: GATEWAY_IP }));
    assert.equal(seen.length, 3);
  });

  it('DHCP: no answer, no frame; a spoilt request or a full link is counted', () => {
    const s = new Script();
    s.stack.serveDhcp(() => 0);
    const frame = udpFrame(68, 67, bytes(250), { src: 0, dst: -1 });
    s.frames(frame);
    s.writer.full = true;
    s.frames(frame);
    frame[100] = (frame[100] ?? 0) ^ 1;
    s.frames(frame);
    assert.deepEqual(s.writer.take(), []);
    assert.deepEqual(s.drops(), { 'out-link-full': 1, 'udp-bad-checksum': 1 });
  });
});

describe('stack/arp', () => {
  for (const [name, target, answered] of [
    ['the gateway', GATEWAY_IP, true],
    ['the host address', HOST_IP, true],
    ['another guest', GUEST_IP + 5, false],
  ] as const) {
    it(`${answered ? 'answers' : 'does not answer'} for ${name}`, () => {
      const s = new Script().frames(arpFrame(1, GUEST_MAC, GUEST_IP, target));
      assert.equal(s.writer.take().length, answered ? 1 : 0);
    });
  }
  it('answers a probe without learning from it (RFC 5227)', () => {
    const s = new Script().frames(arpFrame(1, GUEST_MAC, 0, GATEWAY_IP));
    assert.equal(s.writer.take().length, 1);
    let known = 0;
    s.stack.stations.forEachNeighbor(() => known++);
    assert.equal(known, 0);
  });
  it('believes nobody who claims our addresses, or a group’s', () => {
    const s = new Script();
    s.frames(
      arpFrame(2, GUEST_MAC, GATEWAY_IP, GUEST_IP),
      arpFrame(2, GUEST_MAC, 0x0101_0101, GUEST_IP),
    );
    let known = 0;
    s.stack.stations.forEachNeighbor(() => known++);
    assert.equal(known, 0);
  });
  it('a closed host address is nobody’s', () => {
    const s = new Script({ config: { host: undefined } }).frames(
      arpFrame(1, GUEST_MAC, GUEST_IP, HOST_IP),
    );
    assert.deepEqual(s.writer.take(), []);
  });
  it('a link that comes up is asked for guests that are away', () => {
    const s = new Script().announce();
    s.reader.onLinkDown(s.now);
    const writer = new RecordingWriter();
    s.stack.attach(s.now, 'again', writer);
    assert.equal(writer.take().filter(isArp).length, 1);
  });
  it('a full table of neighbours gives up the one longest unused', () => {
    const s = new Script({
      config: {
        subnet: ipv4(0x0a00_0000),
        prefixLen: 8,
        gateway: ipv4(0x0a00_0001),
        host: undefined,
      },
    });
    for (let i = 2; i < 8300; i++) s.stack.expectGuest(s.now, ipv4(0x0a00_0000 + i));
    let known = 0;
    s.stack.stations.forEachNeighbor(() => known++);
    assert.equal(known, 8192);
  });
});

describe('stack/segment', () => {
  const second = (s: Script): { writer: RecordingWriter; send: (frame: Uint8Array) => void } => {
    const writer = new RecordingWriter();
    const reader = s.stack.attach(s.now, 'second', writer);
    assert.ok(reader);
    return {
      writer,
      send: (frame) => {
        reader.onFrame(s.now, frameOver(frame));
        reader.onBatchEnd(s.now);
      },
    };
  };
  const trusting = (): Script =>
    new Script({ config: { separation: { mode: 'trust', allowed: [] } } });
  const frame = (from: number, to: number): Uint8Array => ethernetFrame(0x88b5, 50, from, to);

  it('floods what it does not know, then sends to where it was heard', () => {
    const s = trusting();
    const other = second(s);
    const third = second(s);
    s.frames(frame(GUEST_MAC, OTHER_MAC));
    assert.deepEqual([other.writer.take().length, third.writer.take().length], [1, 1]);
    other.send(frame(OTHER_MAC, GUEST_MAC));
    s.frames(frame(GUEST_MAC, OTHER_MAC));
    assert.deepEqual(
      [other.writer.take().length, third.writer.take().length, s.writer.take().length],
      [1, 0, 1],
    );
    assert.ok(other.writer.flushes > 0);
  });

  it('follows a station that moves, and moves back', () => {
    const s = trusting();
    const other = second(s);
    const third = second(s);
    s.frames(frame(GUEST_MAC, BROADCAST));
    other.send(frame(GUEST_MAC, BROADCAST));
    s.frames(frame(GUEST_MAC, BROADCAST));
    for (const w of [s.writer, other.writer, third.writer]) w.take();
    third.send(frame(OTHER_MAC, GUEST_MAC));
    assert.deepEqual([s.writer.take().length, other.writer.take().length], [1, 0]);
  });

  it('sends nothing back to where it came from, and nothing for us onward', () => {
    const s = new Script();
    const other = second(s);
    s.frames(frame(GUEST_MAC, GUEST_MAC));
    s.frames(frame(GUEST_MAC, GATEWAY_MAC));
    assert.deepEqual([s.writer.take().length, other.writer.take().length], [0, 0]);
  });

  it('tells no guest that our addresses are at another; its own it may announce', () => {
    const s = new Script();
    const other = second(s);
    for (const address of [GATEWAY_IP, HOST_IP]) {
      for (const operation of [1, 2])
        s.frames(arpFrame(operation, GUEST_MAC, address, GUEST_IP + 1));
      s.frames(arpFrame(2, GUEST_MAC, address, GUEST_IP + 1, OTHER_MAC));
    }
    assert.deepEqual(other.writer.take(), []);
    assert.equal(s.drops()['arp-claims-our-address'], 6);
    s.frames(arpFrame(1, GUEST_MAC, GUEST_IP, GUEST_IP + 1));
    assert.equal(other.writer.take().length, 1);
  });

  it('counts what a full link does not take', () => {
    const s = trusting();
    const other = second(s);
    other.writer.full = true;
    s.frames(frame(GUEST_MAC, OTHER_MAC));
    assert.equal(s.drops()['frame-forward-failed'], 1);
  });

  it('forgets the stations of a link that goes down', () => {
    const s = trusting();
    const other = second(s);
    s.frames(frame(GUEST_MAC, BROADCAST));
    s.reader.onLinkDown(s.now);
    other.writer.take();
    const third = second(s);
    other.send(frame(OTHER_MAC, GUEST_MAC));
    assert.equal(third.writer.take().length, 1);
  });

  it('takes 256 links and 4096 stations', () => {
    const s = new Script();
    for (let i = 1; i < 256; i++) {
      assert.ok(s.stack.attach(s.now, `listener ${i % 10}#${i}`, new RecordingWriter()));
    }
    assert.equal(s.stack.attach(s.now, 'more', new RecordingWriter()), undefined);
    assert.equal(s.drops()['link-table-full'], 1);
    const few = new Script();
    for (let i = 0; i < 5000; i++) few.frames(frame(GUEST_MAC + 4 * i, GATEWAY_MAC));
    assert.equal(few.drops()['frame-bad-source'], undefined);
  });
});

function cutIcmp(l4: Uint8Array): Uint8Array[] {
  const out: Uint8Array[] = [];
  for (let at = 0; at < l4.length; at += 1480) {
    const more = at + 1480 < l4.length ? IPV4_MF : 0;
    out.push(
      ipFrame(1, l4.subarray(at, at + 1480), { dst: GATEWAY_IP, fragment: (at >> 3) | more }),
    );
  }
  return out;
}
