/** Whose addresses are: an attacker's link beside a good one. */
import assert from 'node:assert/strict';
import { ipv4 } from '../../../src/base/ip-address.ts';
import type { Slab } from '../../../src/base/slab.ts';
import { emitDhcpReply } from '../../../src/wire/dhcp.ts';
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
} from '../../support/frames.ts';
import { address6, frame6, ICMPV6, linkLayerOption, ndp } from '../../support/frames6.ts';
import { type LabLink, SegmentLab } from '../../support/segment-lab.ts';

const GOOD_IP = GUEST_IP + 3;
const GOOD_MAC = 0x5254_0012_9999;
const EVIL_IP = GUEST_IP;
const EVIL_MAC = GUEST_MAC;
const BROADCAST = 0xffff_ffff_ffff;
const GRACE_MS = 60_000;
const DATA = new Uint8Array(16);
const VIP = GUEST_IP + 100;

class Trial extends SegmentLab {
  readonly good: LabLink = this.link('qemu:/run/good.sock#1');
  readonly evil: LabLink = this.link('qemu:/run/evil.sock#2');

  /** Both have sent with their addresses. */
  settle(): this {
    this.good.send(arpFrame(1, GOOD_MAC, GOOD_IP, GATEWAY_IP));
    this.good.send(frame6(59, [], { src: 'fe80::5', srcMac: GOOD_MAC }));
    this.evil.send(arpFrame(1, EVIL_MAC, EVIL_IP, GATEWAY_IP));
    this.good.heard();
    this.evil.heard();
    return this;
  }

  /** Who the host believes to be at an address. */
  at(address: number): number | undefined {
    const neighbor = this.stack.stations.neighborAt(ipv4(address));
    return neighbor?.port === undefined ? undefined : neighbor.mac;
  }

  /** The name of the link that frames of another guest to `mac` go to. */
  linkOf(mac: number): string {
    const third = this.link('third');
    for (const link of [this.good, this.evil]) link.heard();
    third.send(tcpFrame({}, { src: VIP + 1, srcMac: 0x5254_0099_0000, dstMac: mac }));
    const names = [this.good, this.evil].map((link) => link.heard().length);
    third.down();
    return names.join(' ');
  }

  refused(): number {
    return (
      [...this.stack.links].find(({ name }) => name.includes('evil'))?.guest.framesRefused ?? 0
    );
  }
}

/** From the attacker, in the name of the good guest. */
const SPOOFS: readonly (readonly [string, Uint8Array, string])[] = [
  [
    'its Ethernet address',
    tcpFrame({}, { src: EVIL_IP, srcMac: GOOD_MAC }),
    'ethernet-source-of-another',
  ],
  [
    'both its addresses',
    tcpFrame({}, { src: GOOD_IP, srcMac: GOOD_MAC }),
    'ethernet-source-of-another',
  ],
  [
    'its IPv4 address, to the host',
    tcpFrame({ flags: 'S' }, { src: GOOD_IP }),
    'ipv4-source-of-another',
  ],
  [
    'its IPv4 address, to all',
    udpFrame(1, 2, DATA, { src: GOOD_IP, dst: -1, dstMac: BROADCAST }),
    'ipv4-source-of-another',
  ],
  [
    'its IPv4 address in an ARP request',
    arpFrame(1, EVIL_MAC, GOOD_IP, GATEWAY_IP),
    'arp-claims-foreign-address',
  ],
  [
    'its IPv4 address in an ARP answer',
    arpFrame(2, EVIL_MAC, GOOD_IP, GATEWAY_IP, GATEWAY_MAC),
    'arp-claims-foreign-address',
  ],
  [
    'its IPv4 address in a gratuitous ARP',
    arpFrame(1, EVIL_MAC, GOOD_IP, GOOD_IP),
    'arp-claims-foreign-address',
  ],
  [
    'its Ethernet address in ARP',
    withSender(arpFrame(2, EVIL_MAC, EVIL_IP, GATEWAY_IP), GOOD_MAC),
    'arp-claims-foreign-address',
  ],
  [
    'our Ethernet address in ARP',
    withSender(arpFrame(2, EVIL_MAC, EVIL_IP, GATEWAY_IP), GATEWAY_MAC),
    'arp-claims-foreign-address',
  ],
  [
    'a group in ARP',
    withSender(arpFrame(2, EVIL_MAC, EVIL_IP, GATEWAY_IP), BROADCAST),
    'arp-claims-foreign-address',
  ],
  ['its IPv6 address', frame6(59, [], { src: 'fe80::5' }), 'ipv6-source-of-another'],
  [
    'its IPv6 address in an advertisement',
    frame6(ICMPV6, ndp(136, 'fe80::5')),
    'ndp-claims-foreign-address',
  ],
  [
    'its Ethernet address in an advertisement',
    frame6(ICMPV6, ndp(136, 'fe80::2', linkLayerOption(2, GOOD_MAC))),
    'ndp-claims-foreign-address',
  ],
  [
    'its Ethernet address in a solicitation',
    frame6(ICMPV6, ndp(135, 'fe80::5', linkLayerOption(1, GOOD_MAC))),
    'ndp-claims-foreign-address',
  ],
  [
    'its Ethernet address in a router solicitation',
    frame6(ICMPV6, [...ndp(133, '::').slice(0, 8), ...linkLayerOption(1, GOOD_MAC)]),
    'ndp-claims-foreign-address',
  ],
  [
    'our Ethernet address in an advertisement',
    frame6(ICMPV6, ndp(136, 'fe80::2', linkLayerOption(2, GATEWAY_MAC))),
    'ndp-claims-foreign-address',
  ],
  ['our Ethernet address', tcpFrame({}, { srcMac: GATEWAY_MAC }), 'frame-bad-source'],
  [
    'the address of the gateway',
    udpFrame(53, 1000, DATA, { src: GATEWAY_IP, dst: GOOD_IP, dstMac: GOOD_MAC }),
    'ipv4-source-not-on-subnet',
  ],
  [
    'the address of the host',
    udpFrame(53, 1000, DATA, { src: HOST_IP, dst: GOOD_IP, dstMac: GOOD_MAC }),
    'ipv4-source-not-on-subnet',
  ],
  [
    'the address of the gateway in ARP',
    arpFrame(2, EVIL_MAC, GATEWAY_IP, GOOD_IP, GOOD_MAC),
    'arp-claims-our-address',
  ],
  [
    'the address of the host in ARP',
    arpFrame(1, EVIL_MAC, HOST_IP, HOST_IP),
    'arp-claims-our-address',
  ],
  [
    'an address of the Internet',
    udpFrame(53, 1000, DATA, { src: 0x0808_0808, dst: GOOD_IP, dstMac: GOOD_MAC }),
    'ipv4-source-not-on-subnet',
  ],
  [
    'an address of the Internet in ARP',
    arpFrame(2, EVIL_MAC, 0x0808_0808, GOOD_IP),
    'arp-claims-foreign-address',
  ],
  [
    'the loopback',
    udpFrame(53, 1000, DATA, { src: 0x7f00_0001, dst: GOOD_IP, dstMac: GOOD_MAC }),
    'ipv4-bad-source',
  ],
  [
    'a group',
    udpFrame(53, 1000, DATA, { src: 0xe000_0001 | 0, dst: GOOD_IP, dstMac: GOOD_MAC }),
    'ipv4-bad-source',
  ],
  [
    'the broadcast address',
    udpFrame(53, 1000, DATA, { src: GATEWAY_IP | 255, dst: GOOD_IP, dstMac: GOOD_MAC }),
    'ipv4-source-not-on-subnet',
  ],
  ['no address', tcpFrame({}, { src: 0, dst: GOOD_IP, dstMac: GOOD_MAC }), 'ipv4-bad-source'],
  [
    'an IPv6 address of the Internet',
    frame6(59, [], { src: '2606:4700::1111' }),
    'ipv6-bad-source',
  ],
  ['an IPv6 group', frame6(59, [], { src: 'ff02::1' }), 'ipv6-bad-source'],
  ['the IPv6 loopback', frame6(59, [], { src: '::1' }), 'ipv6-bad-source'],
  ['an IPv4 address in IPv6', frame6(59, [], { src: '::ffff:c0a8:7f05' }), 'ipv6-bad-source'],
  [
    'an IPv6 group in an advertisement',
    frame6(ICMPV6, ndp(136, 'ff02::1')),
    'ndp-claims-foreign-address',
  ],
];

function withSender(frame: Uint8Array, mac: number): Uint8Array {
  for (let i = 0; i < 6; i++) frame[22 + i] = Math.floor(mac / 256 ** (5 - i)) & 255;
  return frame;
}

describe('stack/separation: whose an address is', () => {
  for (const [name, frame, reason] of SPOOFS) {
    it(`nobody sends with ${name}`, () => {
      const lab = new Trial().settle();
      lab.evil.send(frame);
      assert.equal(lab.drops()[reason], 1, JSON.stringify(lab.drops()));
      assert.deepEqual(lab.good.heard(), []);
      assert.equal(lab.refused(), 1);
      assert.equal(lab.at(GOOD_IP), GOOD_MAC);
      assert.equal(lab.linkOf(GOOD_MAC), '1 0');
    });
  }

  it('the link that has an address goes on with it, whatever others tried', () => {
    const lab = new Trial().settle();
    for (const [, frame] of SPOOFS) lab.evil.send(frame);
    const drops = JSON.stringify(lab.drops());
    lab.good.send(udpFrame(1, 2, DATA, { src: GOOD_IP, srcMac: GOOD_MAC }));
    lab.good.send(arpFrame(2, GOOD_MAC, GOOD_IP, EVIL_IP, EVIL_MAC));
    lab.good.send(frame6(ICMPV6, ndp(136, 'fe80::5'), { src: 'fe80::5', srcMac: GOOD_MAC }));
    assert.equal(lab.evil.heard().length, 2);
    assert.equal(lab.upper.datagrams.length, 1);
    assert.equal(JSON.stringify(lab.drops()), drops);
  });

  it('many machines behind one link are one owner with many addresses', () => {
    const lab = new Trial().settle();
    for (let i = 0; i < 20; i++) {
      const ip = { src: GOOD_IP + 10 + i, srcMac: GOOD_MAC + 4 * i };
      lab.good.send(udpFrame(1, 2, DATA, ip));
      lab.good.send(udpFrame(1, 2, DATA, { src: GOOD_IP + 10, srcMac: GOOD_MAC + 4 * i }));
    }
    assert.equal(lab.upper.datagrams.length, 40);
    lab.evil.send(udpFrame(1, 2, DATA, { src: GOOD_IP + 15 }));
    assert.equal(lab.drops()['ipv4-source-of-another'], 1);
  });

  it('a guest may have addresses beside the subnet, which then are its own', () => {
    const lab = new Trial().settle();
    const src = 0x0a09_0002;
    lab.good.send(
      udpFrame(1, 2, DATA, { src, srcMac: GOOD_MAC, dst: 0x0a09_0003, dstMac: EVIL_MAC }),
    );
    assert.equal(lab.evil.heard().length, 1);
    lab.evil.send(udpFrame(1, 2, DATA, { src, dst: 0x0a09_0003, dstMac: GOOD_MAC }));
    assert.equal(lab.drops()['ipv4-source-of-another'], 1);
  });
});

describe('stack/separation: a link that goes', () => {
  const hello = (mac = GOOD_MAC, ip = GOOD_IP): Uint8Array => arpFrame(1, mac, ip, GATEWAY_IP);

  it('a guest that comes back by another link has its addresses again', () => {
    const lab = new Trial().settle();
    lab.good.down();
    const again = lab.link('again');
    again.send(hello());
    again.send(frame6(59, [], { src: 'fe80::5', srcMac: GOOD_MAC }));
    assert.equal(lab.at(GOOD_IP), GOOD_MAC);
    assert.deepEqual(lab.drops(), {});
  });

  it('one whose new link is there before the old one goes waits for that', () => {
    const lab = new Trial().settle();
    const next = lab.link('next');
    next.send(hello());
    assert.equal(lab.drops()['ethernet-source-of-another'], 1);
    lab.good.down();
    next.send(hello());
    assert.deepEqual([lab.at(GOOD_IP), lab.drops()['ethernet-source-of-another']], [GOOD_MAC, 1]);
  });

  it('all machines of a bridge come back, new ones among them', () => {
    const lab = new Trial().settle();
    lab.good.send(hello(GOOD_MAC + 4, GOOD_IP + 1));
    lab.good.down();
    const again = lab.link('again');
    again.send(hello(GOOD_MAC + 8, GOOD_IP + 2));
    again.send(hello(GOOD_MAC + 4, GOOD_IP + 1));
    again.send(hello());
    assert.deepEqual(lab.drops(), {});
  });

  it('another guest has its addresses after the grace, and not before', () => {
    const lab = new Trial().settle();
    lab.good.down();
    const spoofs = [hello(), hello(EVIL_MAC), frame6(59, [], { src: 'fe80::5' })];
    for (const frame of spoofs) lab.evil.send(frame);
    lab.now += GRACE_MS - 1;
    for (const frame of spoofs) lab.evil.send(frame);
    assert.equal(lab.refused(), 6);
    lab.now += 1;
    for (const frame of spoofs) lab.evil.send(frame);
    assert.equal(lab.refused(), 6);
    assert.equal(lab.at(GOOD_IP), EVIL_MAC);
  });

  it('a guest alone may come back with another Ethernet address', () => {
    const lab = new SegmentLab();
    const one = lab.link('one');
    one.send(hello());
    one.down();
    lab.link('again').send(hello(EVIL_MAC));
    assert.deepEqual(lab.drops(), {});
  });
});

describe('stack/separation: leases', () => {
  /** A server that gives every client `address`, and knows who has what. */
  function serve(
    lab: Trial,
    address: number,
    holders = new Map<number, number>(),
  ): Map<number, number> {
    const respond = (_now: number, request: DataView, out: Slab, off: number): number =>
      emitDhcpReply(out, off, request, {
        ciaddr: 0,
        yiaddr: address,
        broadcast: true,
        options: [{ code: 53, data: Uint8Array.of(5) }],
        maxLen: 548,
      });
    lab.stack.serveDhcp(respond, {
      holderOf: (_now, address) => holders.get(address[3] ?? 0) ?? 0,
    });
    return holders;
  }
  function request(mac: number): Uint8Array {
    const message = new Uint8Array(244);
    message.set([1, 1, 6, 0]);
    for (let i = 0; i < 6; i++) message[28 + i] = Math.floor(mac / 256 ** (5 - i)) & 255;
    message.set([0x63, 0x82, 0x53, 0x63, 53, 1, 3, 255], 236);
    return udpFrame(68, 67, message, { src: 0, dst: -1, srcMac: mac, dstMac: BROADCAST });
  }

  it('a lease takes its address from who used it first', () => {
    const lab = new Trial();
    lab.evil.send(arpFrame(1, EVIL_MAC, GOOD_IP, GATEWAY_IP));
    serve(lab, GOOD_IP);
    lab.good.send(request(GOOD_MAC));
    lab.evil.send(udpFrame(1, 2, DATA, { src: GOOD_IP }));
    assert.equal(lab.drops()['ipv4-source-of-another'], 1);
    assert.equal(lab.at(GOOD_IP), GOOD_MAC);
  });

  it('the address of a leaseholder is nobody else’s, also while it is away', () => {
    const lab = new Trial();
    serve(lab, GOOD_IP).set(GOOD_IP, GOOD_MAC);
    lab.evil.send(udpFrame(1, 2, DATA, { src: GOOD_IP }));
    lab.evil.send(arpFrame(2, EVIL_MAC, GOOD_IP, GATEWAY_IP));
    assert.equal(lab.refused(), 2);
    lab.good.send(udpFrame(1, 2, DATA, { src: GOOD_IP, srcMac: GOOD_MAC }));
    assert.equal(lab.at(GOOD_IP), GOOD_MAC);
  });

  it('a leaseholder wins over a first user at once', () => {
    const lab = new Trial();
    lab.evil.send(udpFrame(1, 2, DATA, { src: GOOD_IP }));
    assert.equal(lab.at(GOOD_IP), EVIL_MAC);
    serve(lab, GOOD_IP).set(GOOD_IP, GOOD_MAC);
    lab.good.send(udpFrame(1, 2, DATA, { src: GOOD_IP, srcMac: GOOD_MAC }));
    lab.evil.send(udpFrame(1, 2, DATA, { src: GOOD_IP }));
    assert.deepEqual([lab.at(GOOD_IP), lab.refused()], [GOOD_MAC, 1]);
  });

  it('another machine of the leaseholder’s link may use it', () => {
    const lab = new Trial();
    serve(lab, GOOD_IP).set(GOOD_IP, GOOD_MAC);
    lab.good.send(ethernetFrame(0x0806, 28, GOOD_MAC));
    lab.good.send(udpFrame(1, 2, DATA, { src: GOOD_IP, srcMac: GOOD_MAC + 4 }));
    assert.equal(lab.at(GOOD_IP), GOOD_MAC + 4);
  });
});

describe('stack/separation: duplicate address detection', () => {
  const probe6 = (target: string, mac: number): Uint8Array =>
    frame6(ICMPV6, ndp(135, target), { src: '::', srcMac: mac });

  it('an ARP probe is heard by all, and answered by nobody but the holder', () => {
    const lab = new Trial().settle();
    lab.good.send(arpFrame(1, GOOD_MAC, 0, VIP));
    assert.equal(lab.evil.heard().length, 1);
    lab.evil.send(arpFrame(2, EVIL_MAC, VIP, 0, GOOD_MAC));
    lab.evil.send(arpFrame(1, EVIL_MAC, VIP, VIP));
    assert.deepEqual([lab.good.heard(), lab.refused()], [[], 2]);
    lab.good.send(arpFrame(1, GOOD_MAC, VIP, VIP));
    assert.equal(lab.at(VIP), GOOD_MAC);
  });

  it('the holder defends its address against a probe', () => {
    const lab = new Trial().settle();
    lab.evil.send(arpFrame(1, EVIL_MAC, 0, GOOD_IP));
    assert.equal(lab.good.heard().length, 1);
    lab.good.send(arpFrame(2, GOOD_MAC, GOOD_IP, 0, EVIL_MAC));
    assert.equal(lab.evil.heard().length, 1);
    lab.evil.send(probe6('fe80::5', EVIL_MAC));
    assert.equal(lab.good.heard().length, 1);
    lab.good.send(frame6(ICMPV6, ndp(136, 'fe80::5'), { src: 'fe80::5', srcMac: GOOD_MAC }));
    assert.equal(lab.evil.heard().length, 1);
    assert.deepEqual(lab.drops(), {});
  });

  it('an IPv6 probe is answered by nobody but the holder, and not by us', () => {
    const lab = new Trial().settle();
    lab.good.send(probe6('fe80::77', GOOD_MAC));
    assert.equal(lab.evil.heard().length, 1);
    lab.evil.send(frame6(ICMPV6, ndp(136, 'fe80::77')));
    lab.evil.send(frame6(59, [], { src: 'fe80::77' }));
    assert.deepEqual([lab.good.heard(), lab.refused()], [[], 2]);
    assert.deepEqual(lab.good.writer.take(), []);
    lab.good.send(frame6(59, [], { src: 'fe80::77', srcMac: GOOD_MAC }));
    assert.equal(lab.evil.heard().length, 1);
  });

  it('a probe that nothing follows lapses', () => {
    const lab = new Trial().settle();
    lab.evil.send(arpFrame(1, EVIL_MAC, 0, VIP));
    lab.good.send(arpFrame(1, GOOD_MAC, VIP, VIP));
    assert.equal(lab.drops()['arp-claims-foreign-address'], 1);
    lab.now += 5000;
    lab.good.send(arpFrame(1, GOOD_MAC, VIP, VIP));
    assert.equal(lab.at(VIP), GOOD_MAC);
  });

  it('a probe for our addresses, or for what no guest can have, binds nothing', () => {
    const lab = new Trial().settle();
    lab.evil.send(arpFrame(1, EVIL_MAC, 0, GATEWAY_IP));
    assert.equal(lab.evil.writer.take().length, 1, 'we defend ours');
    lab.evil.send(arpFrame(1, EVIL_MAC, 0, 0x0808_0808));
    lab.evil.send(probe6('2606:4700::1111', EVIL_MAC));
    assert.deepEqual(lab.drops(), {});
  });
});

describe('stack/separation: IPv6 addresses that are made of an Ethernet address', () => {
  const MADE = 'fe80::5054:ff:fe12:9999';
  const probe = frame6(ICMPV6, ndp(135, MADE), {
    ...{ src: '::', dst: 'ff02::1:ff12:9999', hopLimit: 255, srcMac: GOOD_MAC },
  });
  const claim = frame6(ICMPV6, ndp(136, MADE, linkLayerOption(2, EVIL_MAC)), {
    ...{ src: 'fe80::6', dst: 'ff02::1', hopLimit: 255 },
  });
  const used = (by: LabLink, srcMac: number, other: LabLink): number => {
    other.heard();
    by.send(
      frame6(59, [], { src: MADE, srcMac, dstMac: srcMac === GOOD_MAC ? EVIL_MAC : GOOD_MAC }),
    );
    return other.heard().length;
  };

  it('nobody takes one before its owner uses it', () => {
    const trial = new Trial().settle();
    assert.equal(used(trial.evil, EVIL_MAC, trial.good), 0);
    trial.evil.send(claim);
    assert.deepEqual(trial.good.heard(), []);
    trial.good.send(probe);
    assert.equal(used(trial.good, GOOD_MAC, trial.evil), 1);
    assert.equal(trial.drops()['ipv6-source-of-another'], 1);
  });

  it('its owner takes one from who had it, by asking whether it is free', () => {
    const trial = new Trial();
    trial.evil.send(frame6(59, [], { src: MADE, srcMac: EVIL_MAC }));
    trial.settle();
    trial.good.send(probe);
    trial.good.heard();
    trial.evil.send(claim);
    assert.deepEqual(trial.good.heard(), []);
    assert.equal(used(trial.evil, EVIL_MAC, trial.good), 0);
    assert.equal(used(trial.good, GOOD_MAC, trial.evil), 1);
  });

  it('while the Ethernet address is away they are as any other', () => {
    const trial = new Trial();
    trial.evil.send(arpFrame(1, EVIL_MAC, EVIL_IP, GATEWAY_IP));
    assert.equal(used(trial.evil, EVIL_MAC, trial.good), 1);
  });
});

describe('stack/separation: addresses that move', () => {
  const words = (text: string): [number, number, number, number] => {
    const view = new DataView(Uint8Array.from(address6(text)).buffer);
    return [view.getInt32(0), view.getInt32(4), view.getInt32(8), view.getInt32(12)];
  };
  const allowed = [
    { link: 'qemu:/run/good.sock', words: [0, 0, 0xffff, VIP], bits: 128 },
    { link: 'qemu:/run/third.sock', words: [0, 0, 0xffff, VIP & ~15], bits: 124 },
    { link: 'qemu:/run/third.sock', words: words('2001:db8::'), bits: 32 },
    { link: 'qemu:/run/good.sock', words: words('fe80::100'), bits: 128 },
    { link: 'qemu:/run/third.sock', words: words('fe80::100'), bits: 128 },
  ] as const;
  const gratuitous = (mac: number, ip: number): Uint8Array => arpFrame(1, mac, ip, ip);
  const THIRD_MAC = 0x5254_0012_7777;

  class Moving extends Trial {
    readonly third: LabLink = this.link('qemu:/run/third.sock#9');
  }

  it('one of the list moves between the links that have it, and to no other', () => {
    const lab = new Moving({ allowed });
    lab.settle();
    lab.good.send(gratuitous(GOOD_MAC, VIP));
    assert.equal(lab.at(VIP), GOOD_MAC);
    lab.third.send(gratuitous(THIRD_MAC, VIP));
    assert.equal(lab.at(VIP), THIRD_MAC);
    lab.evil.send(gratuitous(EVIL_MAC, VIP));
    assert.equal(lab.at(VIP), THIRD_MAC);
    assert.equal(lab.refused(), 1);
    lab.good.send(frame6(ICMPV6, ndp(136, 'fe80::100'), { src: 'fe80::100', srcMac: GOOD_MAC }));
    lab.third.send(frame6(ICMPV6, ndp(136, 'fe80::100'), { src: 'fe80::100', srcMac: THIRD_MAC }));
    assert.equal(lab.refused(), 1);
  });

  it('it is taken at once from a first user, and may be one of the Internet', () => {
    const lab = new Moving({ allowed });
    lab.settle();
    lab.evil.send(gratuitous(EVIL_MAC, VIP));
    lab.good.send(gratuitous(GOOD_MAC, VIP));
    assert.equal(lab.at(VIP), GOOD_MAC);
    lab.third.send(frame6(59, [], { src: '2001:db8::7', srcMac: THIRD_MAC }));
    assert.deepEqual(lab.drops(), {});
  });
});

describe('stack/separation: limits', () => {
  it('whoever claims every address leaves others theirs, and room for newcomers', () => {
    const lab = new Trial();
    lab.good.send(arpFrame(1, GOOD_MAC, GOOD_IP, GATEWAY_IP));
    for (let i = 2; i < 254; i++) {
      lab.evil.send(arpFrame(1, EVIL_MAC + 4 * i, (GATEWAY_IP & ~255) + i, GATEWAY_IP));
    }
    assert.equal(lab.at(GOOD_IP), GOOD_MAC);
    let evil = 0;
    lab.stack.stations.forEachNeighbor(({ mac }) => {
      if (mac !== GOOD_MAC) evil++;
    });
    assert.ok(evil > 150 && evil <= 190, `${evil}`);
    const third = lab.link('third');
    const own = 0x5254_0012_7777;
    const free = [...Array(60).keys()].some((i) => {
      const before = lab.drops()['arp-claims-foreign-address'] ?? 0;
      third.send(arpFrame(1, own, (GATEWAY_IP & ~255) + 2 + i, GATEWAY_IP));
      return (lab.drops()['arp-claims-foreign-address'] ?? 0) === before;
    });
    assert.ok(free);
  });

  it('a flood of Ethernet and IPv6 addresses displaces only those of its own link', () => {
    const lab = new Trial().settle();
    for (let i = 0; i < 10_000; i++) {
      const src = `fd00::${(i >> 8).toString(16)}:${(i & 255).toString(16)}`;
      lab.evil.send(frame6(59, [], { src, srcMac: EVIL_MAC + 4 * i }));
      lab.good.heard();
    }
    assert.equal(lab.linkOf(GOOD_MAC), '1 0');
    lab.evil.send(frame6(59, [], { src: 'fe80::5' }));
    assert.equal(lab.drops()['ipv6-source-of-another'], 1);
    lab.evil.send(tcpFrame({}, { src: EVIL_IP, srcMac: GOOD_MAC }));
    assert.equal(lab.drops()['ethernet-source-of-another'], 1);
  });

  it('ARP that names ever new Ethernet addresses leaves that of its frames', () => {
    const lab = new Trial().settle();
    for (let i = 1; i < 5000; i++) {
      const frame = arpFrame(2, EVIL_MAC, EVIL_IP + 200, GATEWAY_IP, GATEWAY_MAC);
      lab.evil.send(withSender(frame, EVIL_MAC + 4 * i));
    }
    lab.good.send(tcpFrame({}, { src: GOOD_IP, srcMac: EVIL_MAC }));
    assert.deepEqual(lab.drops(), { 'ethernet-source-of-another': 1 });
    lab.evil.send(udpFrame(1, 2, DATA, { src: EVIL_IP, dst: GOOD_IP, dstMac: GOOD_MAC }));
    assert.equal(lab.good.heard().length, 1);
  });
});
