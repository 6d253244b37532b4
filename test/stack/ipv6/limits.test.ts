/** A guest may have any number of addresses of a /64: what it takes of tables is bounded (RFC 6583). */
import assert from 'node:assert/strict';
import { IpAddress } from '../../../src/base/ip-address.ts';
import type { FrameReader } from '../../../src/stack/link.ts';
import { IPV6 } from '../../support/family.ts';
import { GUEST_IP } from '../../support/frames.ts';
import { GATEWAY6, icmp6Frame, linkLayerOption, ndp, through } from '../../support/frames6.ts';
import { lend } from '../../support/lend.ts';
import { RecordingWriter, type Script } from '../../support/script.ts';
import { script6 } from '../../support/script6.ts';

const GOOD = IPV6.address(GUEST_IP + 3);
const GOOD6 = 'fd12:3456:789a:1::5';
const GOOD_MAC = 0x5254_0000_0005;
const ATTEMPTS = 6000;

const echo = (src: string, srcMac: number, dst = GATEWAY6): Uint8Array =>
  icmp6Frame([128, 0, 0, 0, 0, 1, 0, 1], through(dst, { src, srcMac }));
const source = (i: number): string => `fd12:3456:789a:1:1::${i.toString(16)}`;

function neighbors(s: Script): number {
  let known = 0;
  s.stack.stations.forEachNeighbor(() => known++);
  return known;
}

/** A good guest that was heard once, and the stack's end of its link. */
function withGoodGuest(): { s: Script; good: FrameReader; writer: RecordingWriter } {
  const s = script6();
  const writer = new RecordingWriter();
  const good = s.stack.attach(s.now, 'good', writer);
  assert.ok(good);
  lend(good, s.now, echo(GOOD6, GOOD_MAC));
  good.onBatchEnd(s.now);
  writer.take();
  return { s, good, writer };
}

describe('stack/ipv6 limits', () => {
  for (const [name, frame] of [
    ['packets', (i: number) => echo(source(i), 0x5254_0012_3456)],
    [
      'advertisements',
      (i: number) =>
        icmp6Frame(ndp(136, source(i), linkLayerOption(2, 0x5254_0012_3456)), {
          ...through('fe80::5894:efff:fee4:cdd', { src: 'fe80::2', hopLimit: 255 }),
        }),
    ],
  ] as const) {
    it(`${name} from thousands of addresses of one guest push nobody else out`, () => {
      const { s, writer } = withGoodGuest();
      s.advance(1000);
      for (let i = 1; i <= ATTEMPTS; i++) s.frames(frame(i));
      assert.ok(neighbors(s) < 4096, `${neighbors(s)}`);
      assert.ok(s.stack.stations.neighborAt(GOOD)?.port, 'the good guest is where it was');
      const id = { guest: GOOD, guestPort: 1, remote: IPV6.address(0x0808_0808), remotePort: 2 };
      assert.ok(s.stack.sendDatagram(s.now, id, new Uint8Array(4), 0, 4));
      assert.equal(writer.take().length, 1);
      assert.equal(s.drops()['neighbor-table-full'], undefined);
    });
  }

  it('the newest addresses of a guest are the known ones', () => {
    const { s } = withGoodGuest();
    for (let i = 1; i <= ATTEMPTS; i++) s.frames(echo(source(i), 0x5254_0012_3456));
    s.writer.take();
    const { a, b } = GOOD;
    const at = (i: number): unknown =>
      s.stack.stations.neighborAt(new IpAddress(a, b, 0x1_0000, i));
    assert.ok(at(ATTEMPTS));
    assert.equal(at(1), undefined);
  });

  it('probes of thousands of addresses make no neighbour', () => {
    const { s } = withGoodGuest();
    for (let i = 1; i <= ATTEMPTS; i++) {
      s.frames(icmp6Frame(ndp(135, source(i)), { src: '::', dst: 'ff02::1:ff00:1' }));
    }
    assert.equal(neighbors(s), 1);
  });

  it('who uses an address is known of guests that talk with each other alone', () => {
    const { s, good } = withGoodGuest();
    const other = 'fd12:3456:789a:1::7';
    const ends = { src: other, dst: GOOD6, srcMac: GOOD_MAC, dstMac: 0x5254_0012_3456 };
    lend(good, s.now, icmp6Frame([128, 0, 0, 0, 0, 1, 0, 1], ends));
    assert.equal(s.stack.stations.userOf(s.now, IPV6.address(GUEST_IP + 5))?.mac, GOOD_MAC);
    assert.equal(s.stack.stations.userOf(s.now, IPV6.address(GUEST_IP + 6)), undefined);
  });
});
