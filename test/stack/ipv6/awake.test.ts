/** A guest that was silent for long, and may have slept beyond what was announced to it, is known to be back by its first frame. */
import assert from 'node:assert/strict';
import { formatMac } from '../../../src/wire/mac.ts';
import {
  arpFrame,
  ethernetFrame,
  GATEWAY_IP,
  GUEST_IP,
  GUEST_MAC,
  tcpFrame,
  udpFrame,
} from '../../support/frames.ts';
import {
  advertisementOfGuest,
  frame6,
  GATEWAY6,
  icmp6Frame,
  PADDING,
  probeOfGuest,
  solicitationOfGateway,
  through,
  UDP,
  udp6,
} from '../../support/frames6.ts';
import { RecordingWriter, type Script } from '../../support/script.ts';
import { numbers, script6 } from '../../support/script6.ts';

const OTHER_MAC = 0x5254_0000_0009;
const LLDP = 0x88cc;
const LLDP_MAC = 0x0180_c200_000e;
const NIGHT_MS = 8 * 3_600_000;

const datagram = (dst?: string, dstMac?: number): Uint8Array => {
  const ends = through(dst, dstMac === undefined ? {} : { dstMac });
  return frame6(UDP, udp6(1111, 53, numbers(8), ends), ends);
};
const ping = (src: string, srcMac = GUEST_MAC): Uint8Array =>
  icmp6Frame([128, 0, 0, 0, 0, 1, 0, 1], through(GATEWAY6, { src, srcMac }));
const arp = (): Uint8Array => arpFrame(1, GUEST_MAC, GUEST_IP, GATEWAY_IP);

/** A guest that was heard with addresses of both families, beside another; and the stations that were awake. */
function known(): [s: Script, awake: string[]] {
  const awake: string[] = [];
  const s = script6();
  s.stack.ipv6?.serveRouter({
    onLinkUp: () => {},
    onLinkDown: () => {},
    onSolicitation: () => {},
    onAwake: (_now, link, mac) => awake.push(`${link} ${formatMac(mac)}`),
  });
  s.stack.attach(s.now, 'other', new RecordingWriter());
  s.frames(arp(), solicitationOfGateway(), ping('fe80::2'), datagram());
  assert.deepEqual(awake, []);
  return [s, awake];
}

describe('stack/ipv6: a guest that wakes up', () => {
  const firsts: readonly (readonly [string, Uint8Array])[] = [
    ['a datagram to the outside', datagram()],
    ['a datagram by IPv4', udpFrame(1111, 53, Uint8Array.of(1))],
    ['a segment by IPv4', tcpFrame({ flags: 'S' })],
    [
      'a question of DHCP, without an address',
      udpFrame(68, 67, Uint8Array.of(1), { src: 0, dst: -1 }),
    ],
    ['ARP', arp()],
    ['a solicitation', solicitationOfGateway()],
    ['an advertisement of itself', advertisementOfGuest(GUEST_MAC)],
    ['detection of duplicates of its address', probeOfGuest()],
    ['a frame to another guest', datagram('fd12:3456:789a:1::9', OTHER_MAC)],
    [
      'a report of groups',
      frame6(58, [143, 0, 0x70, 0x8f, 0, 0, 0, 0], { extensions: [[0, PADDING]], hopLimit: 1 }),
    ],
    ['what is not IP', ethernetFrame(LLDP, 46, GUEST_MAC, LLDP_MAC)],
  ];
  for (const [what, frame] of firsts) {
    it(`is known by its first frame: ${what}`, () => {
      const [s, awake] = known();
      s.advance(59_999).frames(frame);
      assert.deepEqual(awake, []);
      s.advance(NIGHT_MS).frames(frame, frame, frame);
      assert.deepEqual(awake, [`1 ${formatMac(GUEST_MAC)}`]);
    });
  }

  it('with one address is not silent with another', () => {
    const [s, awake] = known();
    for (let i = 0; i < 100; i++) s.advance(30_000).frames(arp());
    s.frames(datagram(), ping('fe80::2'));
    assert.deepEqual(awake, []);
  });

  it('behind a bridge is one of several', () => {
    const [s, awake] = known();
    const other = (): Uint8Array => ping('fd12:3456:789a:1::9', OTHER_MAC);
    for (let i = 0; i < 100; i++) s.advance(30_000).frames(other());
    assert.deepEqual(awake, []);
    s.frames(datagram(), other(), datagram());
    assert.deepEqual(awake, [`1 ${formatMac(GUEST_MAC)}`]);
  });
});
