/** What passes from guest to guest, one row for each rule. */
import assert from 'node:assert/strict';
import {
  arpFrame,
  echoFrame,
  ethernetFrame,
  GUEST_IP,
  GUEST_MAC,
  type IpFields,
  ipFrame,
  tcpFrame,
  udpFrame,
  udpPacket,
} from '../../support/frames.ts';
import {
  fragmentHeader,
  frame6,
  ICMPV6,
  type Ip6Fields,
  linkLayerOption,
  ndp,
  PADDING,
  UDP,
} from '../../support/frames6.ts';
import { SegmentLab } from '../../support/segment-lab.ts';

const OTHER_IP = GUEST_IP + 1;
const OTHER_MAC = 0x5254_0012_9999;
const TO: IpFields = { dst: OTHER_IP, dstMac: OTHER_MAC };
const DATA = new Uint8Array(16);
const udp6 = (from: number, to: number): number[] => [
  ...[from >> 8, from & 255, to >> 8, to & 255],
  ...[0, 8, 0, 0],
];
const icmp4 = (type: number, len = 28): Uint8Array => {
  const bytes = new Uint8Array(len);
  bytes[0] = type;
  return bytes;
};
const HBH: Ip6Fields = { extensions: [[0, PADDING]] };
const DESTINATION: Ip6Fields = { extensions: [[60, PADDING]] };
const ATOMIC: Ip6Fields = { extensions: [[44, fragmentHeader(0, false)]] };
const FIRST: Ip6Fields = { extensions: [[44, fragmentHeader(0, true)]] };
const LATER: Ip6Fields = { extensions: [[44, fragmentHeader(3, false)]] };
const RA = ndp(134, '::').slice(0, 16);
const DHCP_REPLY = udp6(547, 546);
const cut = (frame: Uint8Array, len: number): Uint8Array => frame.subarray(0, len);
/** With another type, and what belongs before the old one. */
function wrapped(frame: Uint8Array, hex: string): Uint8Array {
  return Uint8Array.from([
    ...frame.subarray(0, 12),
    ...Buffer.from(hex, 'hex'),
    ...frame.subarray(12),
  ]);
}
const SNAP = (frame: Uint8Array): Uint8Array =>
  wrapped(frame, `${(frame.length - 14 + 8).toString(16).padStart(4, '0')}aaaa03000000`);
const rogueDhcp = udpFrame(67, 68, DATA, { ...TO, dstMac: 0xffff_ffff_ffff, dst: -1 });

const PASS = undefined;
const ROWS: readonly (readonly [string, Uint8Array, string | undefined])[] = [
  ['TCP', tcpFrame({ data: DATA }, TO), PASS],
  ['UDP', udpFrame(1000, 2000, DATA, TO), PASS],
  ['a ping', echoFrame(1, 1, DATA, TO), PASS],
  ['an ICMP error', ipFrame(1, icmp4(3), TO), PASS],
  ['another protocol', ipFrame(132, DATA, TO), PASS],
  ['ARP', arpFrame(1, GUEST_MAC, GUEST_IP, OTHER_IP), PASS],
  ['a DHCP request', udpFrame(68, 67, DATA, { src: 0, dst: -1, dstMac: 0xffff_ffff_ffff }), PASS],
  [
    'a group member’s report without an address',
    ipFrame(2, DATA, { src: 0, dst: 0xe000_0016 | 0, dstMac: 0x0100_5e00_0016 }),
    PASS,
  ],
  ['a DHCP answer', rogueDhcp, 'guest-dhcp-answer'],
  ['a DHCP answer to one guest', udpFrame(67, 68, DATA, TO), 'guest-dhcp-answer'],
  ['a DHCP answer from another port', udpFrame(1067, 68, DATA, TO), 'guest-dhcp-answer'],
  ['a DHCP server’s message to a relay', udpFrame(67, 67, DATA, TO), 'guest-dhcp-answer'],
  ['a DHCP answer behind IP options', withOptions(udpFrame(67, 68, DATA, TO)), 'guest-dhcp-answer'],
  [
    'the first fragment of a DHCP answer',
    ipFrame(17, udpPacket(67, 68, DATA, TO), { ...TO, fragment: 0x2000 }),
    'guest-dhcp-answer',
  ],
  [
    'a first fragment without the UDP header',
    ipFrame(17, udpPacket(67, 68, DATA, TO).subarray(0, 4), { ...TO, fragment: 0x2000 }),
    'guest-incomplete-headers',
  ],
  [
    'a first fragment without the ICMP header',
    ipFrame(1, icmp4(5, 4), { ...TO, fragment: 0x2000 }),
    'guest-incomplete-headers',
  ],
  ['a UDP packet that is too short', ipFrame(17, new Uint8Array(4), TO), 'guest-malformed'],
  ['a later fragment', ipFrame(17, DATA, { ...TO, fragment: 0x0002 }), PASS],
  ['an ICMP redirect', ipFrame(1, icmp4(5), TO), 'guest-redirect'],
  ['an ICMP router advertisement', ipFrame(1, icmp4(9), TO), 'guest-router-advertisement'],
  ['half an IPv4 header', cut(udpFrame(1, 2, DATA, TO), 30), 'guest-malformed'],
  ['IPv4 that is longer than its frame', cut(udpFrame(1, 2, DATA, TO), 40), 'guest-malformed'],
  [
    'IPv6 under the type of IPv4',
    retyped(frame6(59, [], { dstMac: OTHER_MAC }), 0x0800),
    'ipv4-bad-source',
  ],
  [
    'IPv4 under the type of IPv6',
    retyped(tcpFrame({ data: new Uint8Array(40) }, TO), 0x86dd),
    'ipv6-bad-source',
  ],
  ['half an ARP packet', cut(arpFrame(1, GUEST_MAC, GUEST_IP, OTHER_IP), 40), 'guest-malformed'],
  ['ARP of another operation', arpFrame(8, GUEST_MAC, GUEST_IP, OTHER_IP), 'guest-malformed'],
  ['RARP', retyped(arpFrame(3, GUEST_MAC, GUEST_IP, OTHER_IP), 0x8035), 'guest-not-ip'],
  ['another EtherType', ethernetFrame(0x88b5, 60, GUEST_MAC, OTHER_MAC), 'guest-not-ip'],
  ['a DHCP answer with a VLAN tag', wrapped(rogueDhcp, '81000007'), 'guest-not-ip'],
  ['a DHCP answer with a priority tag', wrapped(rogueDhcp, '81000000'), 'guest-not-ip'],
  ['a DHCP answer in two tags', wrapped(rogueDhcp, '88a8000081000000'), 'guest-not-ip'],
  ['a DHCP answer in LLC/SNAP', SNAP(rogueDhcp), 'guest-not-ip'],
  ['a DHCP answer in a tag and LLC/SNAP', wrapped(SNAP(rogueDhcp), '81000000'), 'guest-not-ip'],
  [
    'an ARP claim with a priority tag',
    wrapped(arpFrame(2, GUEST_MAC, OTHER_IP, 0), '81000000'),
    'guest-not-ip',
  ],
  [
    'a router advertisement with a priority tag',
    wrapped(frame6(ICMPV6, RA), '81000000'),
    'guest-not-ip',
  ],
  ['a router advertisement in LLC/SNAP', SNAP(frame6(ICMPV6, RA)), 'guest-not-ip'],
  ['UDP over IPv6', frame6(UDP, udp6(1, 2)), PASS],
  ['no next header', frame6(59, []), PASS],
  ['an encrypted packet', frame6(50, [1, 2, 3, 4]), PASS],
  ['UDP behind options', frame6(UDP, udp6(1, 2), HBH), PASS],
  ['a later fragment over IPv6', frame6(UDP, udp6(547, 546), LATER), PASS],
  ['a router solicitation', frame6(ICMPV6, ndp(133, '::').slice(0, 8)), PASS],
  [
    'a router solicitation without an address',
    frame6(ICMPV6, ndp(133, '::').slice(0, 8), { src: '::' }),
    PASS,
  ],
  [
    'a report to MLD without an address',
    frame6(ICMPV6, [143, 0, 0, 0, 0, 0, 0, 0], { src: '::', hopLimit: 1, ...HBH }),
    PASS,
  ],
  [
    'a ping without an address',
    frame6(ICMPV6, [128, 0, 0, 0, 0, 0, 0, 0], { src: '::' }),
    'ipv6-bad-source',
  ],
  ['UDP without an address', frame6(UDP, udp6(1, 2), { src: '::' }), 'ipv6-bad-source'],
  ['a solicitation', frame6(ICMPV6, ndp(135, 'fe80::9', linkLayerOption(1, GUEST_MAC))), PASS],
  [
    'an advertisement of its own address',
    frame6(ICMPV6, ndp(136, 'fe80::2', linkLayerOption(2, GUEST_MAC))),
    PASS,
  ],
  ['a router advertisement', frame6(ICMPV6, RA), 'guest-router-advertisement'],
  [
    'a router advertisement behind hop-by-hop options',
    frame6(ICMPV6, RA, HBH),
    'guest-router-advertisement',
  ],
  [
    'a router advertisement behind destination options',
    frame6(ICMPV6, RA, DESTINATION),
    'guest-router-advertisement',
  ],
  [
    'a router advertisement in its only fragment',
    frame6(ICMPV6, RA, ATOMIC),
    'guest-router-advertisement',
  ],
  [
    'a router advertisement in its first fragment',
    frame6(ICMPV6, RA, FIRST),
    'guest-router-advertisement',
  ],
  [
    'a router advertisement behind all of them',
    frame6(ICMPV6, RA, {
      extensions: [
        [0, PADDING],
        [60, PADDING],
        [43, PADDING],
        [44, fragmentHeader(0, false)],
        [60, PADDING],
      ],
    }),
    'guest-router-advertisement',
  ],
  [
    'a router advertisement behind authentication',
    frame6(ICMPV6, RA, { extensions: [[51, [4, ...new Array<number>(22).fill(0)]]] }),
    'guest-router-advertisement',
  ],
  [
    'an IPv6 redirect',
    frame6(ICMPV6, ndp(137, 'fe80::9', new Array<number>(16).fill(0))),
    'guest-redirect',
  ],
  [
    'an advertisement in its only fragment',
    frame6(ICMPV6, ndp(136, 'fe80::2'), ATOMIC),
    'guest-fragmented-ndp',
  ],
  [
    'a solicitation in its first fragment',
    frame6(ICMPV6, ndp(135, 'fe80::9'), FIRST),
    'guest-fragmented-ndp',
  ],
  [
    'a solicitation from beyond a router',
    frame6(ICMPV6, ndp(135, 'fe80::9'), { hopLimit: 254 }),
    'guest-bad-hop-limit',
  ],
  ['a DHCPv6 answer', frame6(UDP, DHCP_REPLY), 'guest-dhcp-answer'],
  ['a DHCPv6 answer from another port', frame6(UDP, udp6(1, 546)), 'guest-dhcp-answer'],
  ['a DHCPv6 answer behind hop-by-hop options', frame6(UDP, DHCP_REPLY, HBH), 'guest-dhcp-answer'],
  [
    'a DHCPv6 answer behind destination options',
    frame6(UDP, DHCP_REPLY, DESTINATION),
    'guest-dhcp-answer',
  ],
  ['a DHCPv6 answer in its first fragment', frame6(UDP, DHCP_REPLY, FIRST), 'guest-dhcp-answer'],
  [
    'a first fragment that ends in the options',
    frame6(60, [58, 1, 0, 0, 0, 0, 0, 0], FIRST),
    'ipv6-incomplete-headers',
  ],
  [
    'a first fragment without the upper header',
    frame6(UDP, [2, 35, 2], FIRST),
    'guest-incomplete-headers',
  ],
  ['a first fragment with nothing', frame6(ICMPV6, [], FIRST), 'guest-incomplete-headers'],
  ['options that are not whole', frame6(0, [58, 9, 0, 0, 0, 0, 0, 0]), 'ipv6-incomplete-headers'],
  [
    'more headers than there are kinds of',
    frame6(UDP, udp6(1, 2), { extensions: new Array(10).fill([60, PADDING]) }),
    'ipv6-too-many-headers',
  ],
  [
    'IPv6 that is longer than its frame',
    cut(frame6(UDP, udp6(1, 2)), 60),
    'ipv6-bad-payload-length',
  ],
  [
    'a message of NDP that is not whole',
    frame6(ICMPV6, ndp(136, 'fe80::2').slice(0, 20)),
    'ndp-bad-message',
  ],
  [
    'NDP with an option of no length',
    frame6(ICMPV6, ndp(136, 'fe80::2', [2, 0, 0, 0, 0, 0, 0, 0])),
    'ndp-bad-message',
  ],
];

function withOptions(frame: Uint8Array): Uint8Array {
  const long = Uint8Array.from([...frame.subarray(0, 34), 1, 1, 1, 1, ...frame.subarray(34)]);
  long[14] = 0x46;
  long[17] = (long[17] ?? 0) + 4;
  return long;
}

function retyped(frame: Uint8Array, type: number): Uint8Array {
  const copy = frame.slice();
  copy[12] = type >> 8;
  copy[13] = type & 255;
  return copy;
}

describe('stack/separation: from guest to guest', () => {
  for (const [name, frame, reason] of ROWS) {
    it(`${reason === PASS ? 'passes' : 'drops'} ${name}`, () => {
      const lab = new SegmentLab();
      const [one, two] = [lab.link('one'), lab.link('two')];
      two.send(arpFrame(1, OTHER_MAC, OTHER_IP, 0));
      two.writer.take();
      const before = lab.drops();
      one.send(frame);
      const heard = two.heard();
      if (reason === PASS) assert.deepEqual(heard, [frame]);
      else {
        assert.deepEqual(heard, []);
        assert.equal(lab.drops()[reason], (before[reason] ?? 0) + 1, JSON.stringify(lab.drops()));
      }
    });
  }

  it('passes anything between guests that trust each other, but our addresses', () => {
    for (const [name, frame, reason] of ROWS) {
      if (reason === 'guest-malformed' || name.startsWith('half')) continue;
      const lab = new SegmentLab({ mode: 'trust' });
      const [one, two] = [lab.link('one'), lab.link('two')];
      one.send(frame);
      assert.deepEqual(two.heard(), [frame], name);
    }
  });

  it('passes nothing between guests that are isolated', () => {
    for (const [name, frame] of ROWS) {
      const lab = new SegmentLab({ mode: 'isolate' });
      const [one, two] = [lab.link('one'), lab.link('two')];
      one.send(frame);
      assert.deepEqual(two.heard(), [], name);
    }
    const lab = new SegmentLab({ mode: 'isolate' });
    const [one] = [lab.link('one'), lab.link('two')];
    one.send(arpFrame(1, GUEST_MAC, GUEST_IP, OTHER_IP));
    assert.equal(lab.drops()['guest-isolated'], undefined, 'a broadcast is for us as well');
    one.send(tcpFrame({}, TO));
    assert.equal(lab.drops()['guest-isolated'], 1);
  });

  it('tells of who tries another where a policy isolates, whether anybody is there or not', () => {
    for (const others of [0, 1]) {
      const lab = new SegmentLab();
      const one = lab.link('one');
      for (let i = 0; i < others; i++) lab.link('two');
      one.send(arpFrame(1, GUEST_MAC, GUEST_IP, OTHER_IP));
      assert.deepEqual(lab.attempts, [], 'without a policy nobody asks');
      lab.stack.policePassage('isolated');
      one.send(arpFrame(1, GUEST_MAC, GUEST_IP, OTHER_IP));
      one.send(tcpFrame({ flags: 'S' }, TO));
      assert.deepEqual(lab.attempts, ['ip 0', 'tcp 80'], `${others} others`);
    }
  });
});
