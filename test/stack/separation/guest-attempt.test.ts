/** What a frame says that its guest wants of another. */
import assert from 'node:assert/strict';
import { addressFromWords } from '../../../src/base/ip-address.ts';
import { AttemptReader } from '../../../src/stack/separation/guest-attempt.ts';
import {
  arpFrame,
  echoFrame,
  GUEST_IP,
  GUEST_MAC,
  type IpFields,
  icmpErrorFrame,
  ipFrame,
  tcpFrame,
  udpFrame,
} from '../../support/frames.ts';
import {
  frame6,
  type Ip6Fields,
  icmp6Frame,
  linkLayerOption,
  ndp,
  solicitedNode,
  UDP,
  udp6,
} from '../../support/frames6.ts';
import { frameOver } from '../../support/lend.ts';

const OTHER_IP = GUEST_IP + 1;
const OTHER_MAC = 0x5254_0012_9999;
const OTHER6 = 'fd00::9';
const TO: IpFields = { dst: OTHER_IP, dstMac: OTHER_MAC };
const TO6: Ip6Fields = { src: 'fd00::2', dst: OTHER6, dstMac: OTHER_MAC };
const DATA = new Uint8Array(16);
const NONE = undefined;
const solicitation = (src: string): Uint8Array =>
  icmp6Frame(ndp(135, OTHER6, src === '::' ? [] : linkLayerOption(1, GUEST_MAC)), {
    src,
    ...solicitedNode(OTHER6),
  });

/** Of frames to one station, and of frames to groups, `protocol port`. */
const ROWS: readonly (readonly [string, Uint8Array, string | undefined, string | undefined])[] = [
  ['a SYN', tcpFrame({ flags: 'S', dport: 80 }, TO), 'tcp 80', NONE],
  ['the answer to one', tcpFrame({ flags: 'SA', dport: 80 }, TO), NONE, NONE],
  ['data of a connection', tcpFrame({ data: DATA }, TO), NONE, NONE],
  ['a datagram', udpFrame(9, 53, DATA, TO), 'udp 53', NONE],
  ['a ping', echoFrame(1, 1, DATA, TO), 'icmp 0', NONE],
  ['an ICMP error', icmpErrorFrame(3, 1, 0, DATA, TO), NONE, NONE],
  ['another protocol', ipFrame(132, DATA, TO), 'ip 0', NONE],
  ['a later fragment', ipFrame(17, DATA, { ...TO, fragment: 5 }), NONE, NONE],
  ['half a header', tcpFrame({ flags: 'S' }, TO).subarray(0, 40), NONE, NONE],
  ['ARP', arpFrame(1, GUEST_MAC, GUEST_IP, OTHER_IP), 'ip 0', 'ip 0'],
  ['an answer of ARP', arpFrame(2, GUEST_MAC, GUEST_IP, OTHER_IP), NONE, NONE],
  ['a probe of ARP', arpFrame(1, GUEST_MAC, 0, OTHER_IP), NONE, NONE],
  ['an announcement of ARP', arpFrame(1, GUEST_MAC, GUEST_IP, GUEST_IP), NONE, NONE],
  ['a datagram of IPv6', frame6(UDP, udp6(9, 53, [7], TO6), TO6), 'udp 53', NONE],
  ['a ping of IPv6', icmp6Frame([128, 0, 0, 0, 0, 1, 0, 1], TO6), 'icmp 0', NONE],
  ['half a datagram of IPv6', frame6(UDP, [1, 2], TO6), NONE, NONE],
  ['SCTP over IPv6', frame6(132, [1, 2, 3, 4], TO6), 'ip 0', NONE],
  ['a solicitation', solicitation('fd00::2'), 'ip 0', 'ip 0'],
  ['a probe of IPv6', solicitation('::'), NONE, NONE],
  ['an advertisement', icmp6Frame(ndp(136, OTHER6), TO6), NONE, NONE],
];

describe('stack/separation/guest-attempt', () => {
  const reader = new AttemptReader();
  for (const [what, frame, toOne, toGroup] of ROWS) {
    it(what, () => {
      for (const [isToOne, expected] of [
        [true, toOne],
        [false, toGroup],
      ] as const) {
        const attempt = reader.read(frameOver(frame), isToOne);
        const text = attempt && `${attempt.protocol} ${attempt.port}`;
        assert.equal(text, expected, `isToOne: ${isToOne}`);
        if (attempt === undefined) continue;
        const address = addressFromWords(attempt.words, 0);
        if (address.family === 6) assert.equal(`${address}`, OTHER6);
        else assert.equal(address.d, OTHER_IP | 0);
      }
    });
  }
});
