/** Neighbor Discovery (RFC 4861, RFC 4862, RFC 9131), as packet scripts. One row a rule. */
import assert from 'node:assert/strict';
import { formatMac } from '../../../src/wire/mac.ts';
import { IPV6, PREFIX } from '../../support/family.ts';
import { GUEST_IP, GUEST_MAC, SERVER_IP, viewOf } from '../../support/frames.ts';
import {
  address6,
  advertisementOfGuest,
  GATEWAY6,
  GUEST6,
  HOST6,
  type Ip6Fields,
  icmp6Frame,
  linkLayerOption,
  ndp,
  PADDING,
  packet6,
  ROUTER6,
  solicitationOfGateway,
  solicitedNode,
  through,
} from '../../support/frames6.ts';
import { IPV6_CONFIG, RecordingWriter, type Script } from '../../support/script.ts';
import { numbers, script6 } from '../../support/script6.ts';

const [RS, RA, NS, NA, REDIRECT] = [133, 134, 135, 136, 137] as const;
const OTHER = 'fd12:3456:789a:1::3';
const NEW_MAC = 0x5254_0077_0001;
const GATEWAY_MAC_BYTES = [0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xdd];
const [ROUTER_AND_OVERRIDE, AND_SOLICITED] = [0xa0, 0xe0] as const;
const id = {
  guest: IPV6.address(GUEST_IP),
  guestPort: 7000,
  remote: IPV6.address(SERVER_IP),
  remotePort: 53,
};
const own = linkLayerOption(1, GUEST_MAC);
const ask = (
  target: string,
  fields: Ip6Fields = {},
  options: readonly number[] = own,
): Uint8Array =>
  icmp6Frame(ndp(NS, target, options), { src: GUEST6, ...solicitedNode(target), ...fields });
const probe = (target: string, fields: Ip6Fields = {}): Uint8Array =>
  ask(target, { src: '::', ...fields }, []);
const solicitRouters = (src: string, options: readonly number[]): Uint8Array =>
  icmp6Frame([RS, 0, 0, 0, 0, 0, 0, 0, ...options], {
    src,
    dst: 'ff02::2',
    dstMac: 0x3333_0000_0002,
  });

/** With an IPv6 address: what the stack knows. */
function known(s: Script): string[] {
  const all: string[] = [];
  s.stack.stations.forEachNeighbor(({ address, mac }) => all.push(`${address} ${formatMac(mac)}`));
  return all;
}

/** Another type, code or flags; the sum is right. */
function changed(
  message: readonly number[],
  at: number,
  byte: number,
  fields: Ip6Fields,
): Uint8Array {
  return icmp6Frame(
    message.map((old, i) => (i === at ? byte : old)),
    fields,
  );
}

const toRouter = (src = GUEST6): Ip6Fields => through(ROUTER6, { src, hopLimit: 255 });
const guestIs = (mac: number): string => `${GUEST6} ${formatMac(mac)}`;

describe('stack/ipv6 neighbor discovery', () => {
  describe('for our addresses', () => {
    for (const target of [GATEWAY6, ROUTER6, HOST6]) {
      it(`a solicitation of ${target} is answered to whoever asks`, () => {
        const [answer, ...more] = script6().frames(ask(target)).writer.take().map(packet6);
        assert.ok(answer);
        assert.deepEqual(more, []);
        const { upper, src, dst, dstMac, hopLimit } = answer;
        assert.deepEqual([src, dst, dstMac, hopLimit], [target, GUEST6, formatMac(GUEST_MAC), 255]);
        assert.deepEqual(
          [...upper.subarray(0, 2), ...upper.subarray(4)],
          [NA, 0, AND_SOLICITED, 0, 0, 0, ...address6(target), 2, 1, ...GATEWAY_MAC_BYTES],
        );
        const frame = icmp6Frame([...upper], { src, dst });
        assert.deepEqual([...frame.subarray(54)], [...upper], 'its sum is right');
      });

      it(`whoever wants ${target} for itself hears so, with all others (RFC 4862 §5.4.3)`, () => {
        const s = script6().frames(probe(target));
        const [answer] = s.writer.take().map(packet6);
        assert.ok(answer);
        const { upper, src, dst, dstMac } = answer;
        assert.deepEqual([src, dst, dstMac], [target, 'ff02::1', '33:33:00:00:00:01']);
        assert.deepEqual([upper[0], upper[4]], [NA, ROUTER_AND_OVERRIDE]);
        assert.deepEqual(known(s), []);
      });
    }

    it('a solicitation that comes to one address is answered too: a guest looks whether we are there', () => {
      const s = script6().frames(ask(GATEWAY6, toRouter()));
      assert.equal(s.writer.take().length, 1);
    });

    it('a host address that is closed is nobody’s', () => {
      const s = script6({ config: { ipv6: { ...IPV6_CONFIG, host: undefined } } });
      assert.deepEqual(s.frames(ask(HOST6), probe(HOST6)).writer.take(), []);
    });

    it('there is no answer for others', () => {
      assert.deepEqual(script6().frames(ask(OTHER), probe(OTHER)).writer.take(), []);
    });

    it('an answer that a full link does not take is counted', () => {
      const s = script6();
      s.writer.full = true;
      assert.equal(s.frames(ask(GATEWAY6)).drops()['out-link-full'], 1);
    });
  });

  describe('what is no message', () => {
    const prefixNs = ndp(NS, GATEWAY6, own);
    const na = ndp(NA, GUEST6, linkLayerOption(2, NEW_MAC));
    const rows: readonly (readonly [string, Uint8Array])[] = [
      ['hop limit 254', ask(GATEWAY6, { hopLimit: 254 })],
      ['code 1', changed(prefixNs, 1, 1, { src: GUEST6, ...solicitedNode(GATEWAY6) })],
      ['a solicitation that is cut', icmp6Frame(prefixNs.slice(0, 23), toRouter())],
      ['an advertisement that is cut', icmp6Frame(na.slice(0, 20), toRouter())],
      ['a router solicitation that is cut', icmp6Frame([RS, 0, 0, 0], toRouter())],
      ['an option of length 0', ask(GATEWAY6, {}, [1, 0, ...numbers(6)])],
      ['an option beyond the end', ask(GATEWAY6, {}, [1, 2, ...numbers(6)])],
      ['an option beyond the end, last', ask(GATEWAY6, {}, [...own, 14, 2, ...numbers(6)])],
      ['half an option', ask(GATEWAY6, {}, [1])],
      ['a group as target', ask('ff02::1')],
      ['a group as target of an advertisement', icmp6Frame(ndp(NA, 'ff02::1'), toRouter())],
      ['a probe with a source option', ask(GATEWAY6, { src: '::' })],
      ['a probe to one address', probe(GATEWAY6, toRouter('::'))],
      ['a router solicitation from nobody with a source option', solicitRouters('::', own)],
      ['a solicited advertisement to all', changed(na, 4, 0x60, { src: GUEST6 })],
    ];
    for (const mode of ['separate', 'trust'] as const) {
      for (const [name, frame] of rows) {
        it(`${name} (${mode})`, () => {
          const s = script6({ config: { separation: { mode, allowed: [] } } }).frames(frame);
          assert.deepEqual(s.drops(), { 'ndp-bad-message': 1 });
          assert.deepEqual(s.writer.take(), []);
          assert.ok(!known(s).includes(guestIs(NEW_MAC)));
        });
      }
      it(`an advertisement from nobody (${mode})`, () => {
        const s = script6({ config: { separation: { mode, allowed: [] } } });
        s.frames(icmp6Frame(na, { src: '::' }));
        assert.equal(Object.keys(s.drops()).length, 1);
        assert.deepEqual(known(s), []);
      });
      for (const [name, type] of [
        ['a router advertisement', RA],
        ['a redirect', REDIRECT],
      ] as const) {
        it(`${name} is not for us (${mode})`, () => {
          const s = script6({ config: { separation: { mode, allowed: [] } } });
          s.frames(
            icmp6Frame([type, 0, 0, 0, ...new Array<number>(36).fill(0)], { src: 'fe80::2' }),
          );
          assert.deepEqual(s.drops(), { 'ndp-not-for-us': 1 });
        });
      }
    }
  });

  describe('guests are known', () => {
    it('by a solicitation', () => {
      assert.deepEqual(known(script6().frames(ask(OTHER))), [guestIs(GUEST_MAC)]);
    });
    it('by any packet', () => {
      const s = script6().frames(icmp6Frame([128, 0, 0, 0, 0, 1, 0, 1], through(GATEWAY6)));
      assert.deepEqual(known(s), [guestIs(GUEST_MAC)]);
    });
    it('by an advertisement that nobody asked for (RFC 9131)', () => {
      const s = script6().frames(
        advertisementOfGuest(GUEST_MAC, { src: 'fe80::2', dst: 'ff02::2' }),
      );
      assert.ok(known(s).includes(guestIs(GUEST_MAC)));
    });
    it('by an advertisement without an option: by its Ethernet source', () => {
      const s = script6().frames(icmp6Frame(ndp(NA, GUEST6), toRouter('fe80::2')));
      assert.ok(known(s).includes(guestIs(GUEST_MAC)));
    });
    it('by the option of a target, wherever it stands among others', () => {
      const options = [14, 1, ...numbers(6), ...linkLayerOption(2, NEW_MAC)];
      const s = script6().frames(icmp6Frame(ndp(NA, GUEST6, options), toRouter('fe80::2')));
      assert.ok(known(s).includes(guestIs(NEW_MAC)));
    });
    it('not by a probe: the address is tentative', () => {
      assert.deepEqual(known(script6().frames(probe(GUEST6))), []);
    });
    it('not by what names one of ours', () => {
      for (const target of [GATEWAY6, ROUTER6, HOST6]) {
        for (const mode of ['separate', 'trust'] as const) {
          const s = script6({ config: { separation: { mode, allowed: [] } } });
          s.frames(icmp6Frame(ndp(NA, target, linkLayerOption(2, GUEST_MAC)), toRouter('fe80::2')));
          assert.deepEqual(known(s), [`fe80::2 ${formatMac(GUEST_MAC)}`]);
          assert.deepEqual(s.writer.take(), []);
        }
      }
    });
    it('not by what is of no prefix of ours', () => {
      const s = script6().frames(icmp6Frame(ndp(NA, '2001:db8::5'), toRouter('fe80::2')));
      assert.deepEqual(known(s), [`fe80::2 ${formatMac(GUEST_MAC)}`]);
    });
    it('elsewhere, if the advertisement says that it overrides', () => {
      const later = (flags: number): string[] => {
        const s = script6().frames(ask(OTHER));
        const message = ndp(NA, GUEST6, linkLayerOption(2, NEW_MAC));
        return known(s.frames(changed(message, 4, flags, toRouter('fe80::2'))));
      };
      assert.ok(later(0x40).includes(guestIs(GUEST_MAC)));
      assert.ok(later(0x60).includes(guestIs(NEW_MAC)));
      assert.ok(later(0x20).includes(guestIs(NEW_MAC)));
    });
  });

  for (const mode of ['separate', 'trust'] as const) {
    it(`no guest hears of another that our addresses are there (${mode})`, () => {
      const s = script6({ config: { separation: { mode, allowed: [] } } });
      const other = new RecordingWriter();
      s.stack.attach(s.now, 'other', other);
      const claim = (target: string, ends: Ip6Fields): Uint8Array =>
        icmp6Frame(ndp(NA, target, linkLayerOption(2, GUEST_MAC)), ends);
      for (const target of [GATEWAY6, ROUTER6, HOST6]) {
        s.frames(claim(target, { src: 'fe80::2' }));
        s.frames(claim(target, { src: 'fe80::2', extensions: [[60, PADDING]] }));
        s.frames(claim(target, { src: target }));
      }
      assert.deepEqual(other.take(), []);
      assert.ok((s.drops()['ndp-claims-foreign-address'] ?? 0) >= 6);
      s.frames(claim(GUEST6, { src: 'fe80::2' }));
      assert.equal(other.take().length, 1);
    });
  }

  it('a router solicitation goes to the router, with its source if it has one', () => {
    const heard: string[] = [];
    const s = script6();
    s.stack.ipv6?.serveRouter({
      onLinkUp: () => {},
      onLinkDown: () => {},
      onAwake: () => {},
      onSolicitation: (_now, link, from, mac) => heard.push(`${link} ${from} ${formatMac(mac)}`),
    });
    s.frames(solicitRouters('::', []), solicitRouters('fe80::2', own));
    const mac = formatMac(GUEST_MAC);
    assert.deepEqual(heard, [`1 undefined ${mac}`, `1 fe80::2 ${mac}`]);
  });

  describe('guests are asked for', () => {
    it('at the group of their address, with ours in the question', () => {
      const s = script6();
      s.stack.sendDatagram(s.now, id, new Uint8Array(4), 0, 4);
      const [question] = s.writer.take().map(packet6);
      assert.ok(question);
      const { upper, src, dst, dstMac, hopLimit } = question;
      assert.deepEqual([src, dst, hopLimit], [ROUTER6, 'ff02::1:ff00:2', 255]);
      assert.equal(dstMac, '33:33:ff:00:00:02');
      assert.deepEqual(
        [...upper.subarray(0, 2), ...upper.subarray(4)],
        [NS, 0, 0, 0, 0, 0, ...address6(GUEST6), 1, 1, ...GATEWAY_MAC_BYTES],
      );
      const frame = icmp6Frame([...upper], { src, dst });
      assert.deepEqual([...frame.subarray(54)], [...upper], 'its sum is right');
    });

    it('and the datagram goes out with the answer', () => {
      const s = script6();
      s.stack.sendDatagram(s.now, id, new Uint8Array(4), 0, 4);
      s.writer.take();
      s.frames(advertisementOfGuest(GUEST_MAC));
      const [datagram] = s.writer.take().map(packet6);
      assert.deepEqual([datagram?.dst, datagram?.dstMac], [GUEST6, formatMac(GUEST_MAC)]);
    });

    it('as soon as a link comes, where they were known', () => {
      const s = script6().frames(solicitationOfGateway());
      s.writer.take();
      s.stack.expectGuest(s.now, IPV6.address(GUEST_IP + 7));
      s.reader.onLinkDown(s.now);
      s.stack.attach(s.now, 'again', s.writer);
      const asked = s.writer
        .take()
        .map(packet6)
        .filter(({ protocol }) => protocol === 58);
      assert.deepEqual(asked.map(({ dst }) => dst).sort(), ['ff02::1:ff00:2', 'ff02::1:ff00:9']);
    });
  });

  it('the prefix is of 64 bits', () => {
    const far = 'fd12:3456:789a:1:ffff:ffff:ffff:ffff';
    const s = script6().frames(
      icmp6Frame([128, 0, 0, 0, 0, 1, 0, 1], through(GATEWAY6, { src: far })),
    );
    assert.deepEqual(known(s), [`${far} ${formatMac(GUEST_MAC)}`]);
    assert.equal(PREFIX.d, 0);
    assert.equal(viewOf(s.writer.take()[0] ?? new Uint8Array(60)).getUint8(54), 129);
  });
});
