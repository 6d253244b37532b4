/** ICMPv6 (RFC 4443, RFC 8201), as packet scripts. One row a rule. */
import assert from 'node:assert/strict';
import { ipv4 } from '../../../src/base/ip-address.ts';
import { IPV6, overFamily } from '../../support/family.ts';
import { GUEST_IP, l3Of, l4Of, protocolOf, SERVER_IP, viewOf } from '../../support/frames.ts';
import {
  frame6,
  GATEWAY6,
  GUEST6,
  HOST6,
  ICMPV6,
  icmp6Frame,
  ndp,
  packet6,
  ROUTER6,
  SERVER6,
  summed,
  through,
  UDP,
} from '../../support/frames6.ts';
import { lend } from '../../support/lend.ts';
import { established, PLAIN, RecordingWriter, type Script } from '../../support/script.ts';
import { icmp6Out, messages, numbers, script6 } from '../../support/script6.ts';

const ECHO = 128;
const [FRAGMENT, TCP] = [44, 6] as const;
const OTHER = IPV6.address(0x0101_0101);
const ends = { guest: IPV6.address(GUEST_IP), remote: IPV6.address(SERVER_IP) };
const id = { ...ends, guestPort: 1111, remotePort: 53 };
const echo = (data: readonly number[], dst: string, src = GUEST6): Uint8Array =>
  icmp6Frame([ECHO, 0, 0, 0, 0, 77, 0, 3, ...data], through(dst, { src }));

const word = (n: number): number[] => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255];
/** The guest reports an error about `frame`, which it was sent. */
const report = (
  type: number,
  code: number,
  parameter: number,
  frame: Uint8Array,
  from = GUEST6,
): Uint8Array =>
  icmp6Frame(
    [type, code, 0, 0, ...word(parameter), ...l3Of(frame).subarray(0, 1200)],
    through(packet6(frame).src, { src: from }),
  );

/** Known to the stack. */
function known(): Script {
  const s = script6().frames(echo([], GATEWAY6));
  s.writer.take();
  return s;
}

const datagrams = (s: Script, len: number): number[] => {
  assert.ok(s.stack.sendDatagram(s.now, id, new Uint8Array(len), 0, len));
  return s.writer.take().map((frame) => l3Of(frame).length);
};

describe('stack/ipv6 icmp', () => {
  describe('a datagram that the guest refuses', () => {
    const sent = (len: number): [Script, Uint8Array] => {
      const s = known();
      assert.ok(s.stack.sendDatagram(s.now, id, Uint8Array.from(numbers(len)), 0, len));
      return [s, s.writer.take()[0] ?? assert.fail()];
    };
    it('goes up with the flow that it was of, whole where the error holds all of it', () => {
      for (const [len, isWhole] of [
        [5, true],
        [1152, true],
        [1153, false],
      ] as const) {
        const [s, frame] = sent(len);
        s.frames(report(1, 4, 0, frame));
        const [refused, ...more] = s.refused;
        assert.deepEqual(more, []);
        assert.deepEqual(refused?.key.slice(8), [(1111 << 16) | 53]);
        const data = isWhole ? Uint8Array.from(numbers(len)) : undefined;
        assert.deepEqual(refused?.data, data, `${len}`);
      }
    });

    it('is no matter of other codes', () => {
      const [s, frame] = sent(5);
      for (const code of [0, 1, 2, 3, 5]) s.frames(report(1, code, 0, frame));
      assert.deepEqual([s.refused, s.drops()], [[], { 'icmp-not-for-us': 5 }]);
    });
  });

  describe('echo', () => {
    for (const dst of [GATEWAY6, ROUTER6]) {
      it(`is answered for ${dst}, at any size`, () => {
        for (const len of [0, 1, 56, 1452, 4000]) {
          const whole = summed(
            ICMPV6,
            [ECHO, 0, 0, 0, 0, 77, 0, 3, ...numbers(len)],
            2,
            through(dst),
          );
          const s = script6();
          for (let at = 0; at < whole.length; at += 1448) {
            const place = at | (at + 1448 < whole.length ? 1 : 0);
            const header = [0, place >> 8, place & 255, 0, 0, 0, 9];
            const extensions = whole.length > 1460 ? [[FRAGMENT, header] as const] : [];
            const part = extensions.length > 0 ? whole.slice(at, at + 1448) : whole;
            s.frames(frame6(ICMPV6, part, through(dst, { extensions })));
            if (extensions.length === 0) break;
          }
          const packets = s.writer.take().map(packet6);
          const back = packets.flatMap(({ protocol, upper }) => [
            ...(protocol === FRAGMENT ? upper.subarray(8) : upper),
          ]);
          const answer = [129, 0, 0, 0, 0, 77, 0, 3, ...numbers(len)];
          assert.deepEqual(back, summed(ICMPV6, answer, 2, { src: dst, dst: GUEST6 }));
          assert.deepEqual([packets[0]?.src, packets[0]?.dst], [dst, GUEST6]);
        }
      });
    }

    it('to all nodes or all routers is answered from the address of the link', () => {
      for (const dst of ['ff02::1', 'ff02::2']) {
        const s = script6().frames(echo([1], dst, 'fe80::2'));
        const [answer] = s.writer.take().map(packet6);
        assert.deepEqual([answer?.src, answer?.dst, answer?.upper[0]], [ROUTER6, 'fe80::2', 129]);
      }
    });

    it('to the gateway goes up where those above decide on it, to all nodes it is answered', () => {
      const s = script6();
      s.isDecidingPings = true;
      s.frames(echo(numbers(5), GATEWAY6), echo(numbers(5), ROUTER6), echo([1], 'ff02::1'));
      assert.equal(s.echoes.length, 2);
      assert.equal(icmp6Out(s).filter(([type]) => type === ECHO + 1).length, 1);
    });

    it('to other groups is not for us', () => {
      const s = script6().frames(echo([1], 'ff02::fb'));
      assert.deepEqual(s.drops(), { 'icmp-not-for-us': 1 });
      assert.deepEqual(s.writer.take(), []);
    });

    it('to the host and to others goes up, with its hop limit; replies and errors come back', () => {
      const s = script6().frames(echo(numbers(5), HOST6), echo(numbers(5), SERVER6));
      const one = { identifier: 77, sequence: 3, ttl: 64, data: Uint8Array.from(numbers(5)) };
      assert.deepEqual(s.echoes, [one, one]);
      const asked = { ...ends, identifier: 77, sequence: 3 };
      assert.ok(s.stack.sendEchoReply(s.now, asked, Uint8Array.from(numbers(5)), 0, 5));
      s.stack.sendEchoError(s.now, asked, 'ttl-exceeded', OTHER);
      const [reply, error] = s.writer.take().map(packet6);
      const bytes = [129, 0, 0, 0, 0, 77, 0, 3, ...numbers(5)];
      assert.deepEqual(
        [...(reply?.upper ?? [])],
        summed(ICMPV6, bytes, 2, { src: SERVER6, dst: GUEST6 }),
      );
      assert.ok(error);
      assert.deepEqual([error.src, error.upper[0], error.upper[1]], [OTHER.toString(), 3, 0]);
      assert.deepEqual(
        [...error.upper.subarray(48, 50), ...error.upper.subarray(52)],
        [128, 0, 0, 77, 0, 3],
      );
    });
  });

  describe('errors to the guest', () => {
    for (const [error, type, code] of [
      ['net-unreachable', 1, 0],
      ['host-unreachable', 1, 3],
      ['port-unreachable', 1, 4],
      ['prohibited', 1, 1],
      ['ttl-exceeded', 3, 0],
    ] as const) {
      it(`${error} about a datagram is ${type}/${code}, quoting its ends`, () => {
        const s = known();
        s.stack.sendUdpError(s.now, id, error, OTHER, 30);
        const [packet] = s.writer.take().map(packet6);
        assert.ok(packet);
        const { upper, src, dst } = packet;
        assert.deepEqual([...upper], summed(ICMPV6, [...upper], 2, { src, dst }));
        assert.deepEqual([upper[0], upper[1], src], [type, code, OTHER.toString()]);
        const quote = packet6(Uint8Array.from([...new Uint8Array(14), ...upper.subarray(8)]));
        assert.deepEqual([quote.src, quote.dst, quote.protocol], [GUEST6, SERVER6, UDP]);
        const udp = viewOf(upper.slice(48));
        assert.deepEqual([udp.getUint16(0), udp.getUint16(2), udp.getUint16(4)], [1111, 53, 38]);
      });
    }

    it('of a router of the other family come from the gateway', () => {
      const s = known();
      const asked = { ...ends, identifier: 1, sequence: 1 };
      s.stack.sendEchoError(s.now, asked, 'host-unreachable', ipv4(SERVER_IP));
      assert.equal(packet6(s.writer.take()[0] ?? new Uint8Array(60)).src, GATEWAY6);
    });

    for (const [dst, from] of [
      [GATEWAY6, GATEWAY6],
      [ROUTER6, ROUTER6],
      [HOST6, HOST6],
      [SERVER6, GATEWAY6],
    ] as const) {
      it(`about a packet to ${dst} come from ${from} (RFC 4443 §2.2)`, () => {
        const s = script6().frames(frame6(132, numbers(8), through(dst)));
        assert.deepEqual(
          s.writer.take().map((frame) => packet6(frame).src),
          [from],
        );
      });
    }

    it('to a guest’s link-local address come from that of the router', () => {
      const s = script6().frames(
        frame6(
          132,
          numbers(8),
          through('ff02::1', { src: 'fe80::2', extensions: [[60, [0, 0x80, 4, 0, 0, 0, 0]]] }),
        ),
      );
      const [error] = s.writer.take().map(packet6);
      assert.deepEqual([error?.src, error?.dst], [ROUTER6, 'fe80::2']);
    });

    for (const [name, message] of [
      ['an error', [1, 0, 0, 0, 0, 0, 0, 0, ...numbers(48)]],
      ['an error of an unknown type', [100, 0, 0, 0, 0, 0, 0, 0]],
      ['a redirect', [...ndp(137, GATEWAY6), ...numbers(16)]],
    ] as const) {
      it(`there is none about ${name} (RFC 4443 §2.4)`, () => {
        const s = script6().frames(icmp6Frame(message, through(SERVER6, { hopLimit: 1 })));
        assert.deepEqual(s.writer.take(), []);
      });
    }

    it('there is none to who has no address', () => {
      const probe = {
        src: '::',
        dst: GATEWAY6,
        extensions: [[60, [0, 0xc0, 4, 0, 0, 0, 0]] as const],
      };
      assert.deepEqual(
        script6()
          .frames(icmp6Frame(ndp(135, GATEWAY6), probe))
          .writer.take(),
        [],
      );
    });

    it('are limited to 1000 a second, with those of IPv4', () => {
      const s = script6().settle();
      for (let i = 0; i < 1100; i++) s.frames(frame6(132, numbers(20), through()));
      assert.equal(messages(s).length, 1000);
      assert.equal(s.drops()['icmp-error-rate-limited'], 100);
      s.stack.sendUdpError(s.now, id, 'prohibited', OTHER, 30);
      s.stack.sendEchoError(s.now, { ...ends, identifier: 1, sequence: 1 }, 'prohibited', OTHER);
      assert.equal(s.drops()['icmp-error-rate-limited'], 102);
      s.advance(1000).frames(frame6(132, numbers(20), through()));
      assert.equal(messages(s).length, 1);
    });

    it('are limited for each guest on its own', () => {
      const s = script6().settle();
      const writer = new RecordingWriter();
      const other = s.stack.attach(s.now, 'other', writer);
      assert.ok(other);
      for (let i = 0; i < 1100; i++) s.frames(frame6(132, numbers(20), through()));
      const src = 'fd12:3456:789a:1::9';
      lend(
        other,
        s.now,
        frame6(132, numbers(20), through(SERVER6, { src, srcMac: 0x5254_0000_0009 })),
      );
      assert.equal(writer.take().length, 1);
    });

    it('and answers that a full link does not take are counted', () => {
      const s = known();
      s.writer.full = true;
      s.stack.sendUdpError(s.now, id, 'prohibited', OTHER, 30);
      assert.equal(s.drops()['out-link-full'], 1);
    });
  });

  describe('a datagram was too big', () => {
    it('for the guest: later ones are cut to what it takes', () => {
      const s = known();
      assert.deepEqual(datagrams(s, 1400), [1448]);
      s.stack.sendDatagram(s.now, id, new Uint8Array(1400), 0, 1400);
      s.frames(report(2, 0, 1300, s.writer.take()[0] ?? new Uint8Array(60)));
      assert.deepEqual(datagrams(s, 1252), [1300]);
      assert.deepEqual(datagrams(s, 1400), [1296, 208]);
    });
    it('it was a piece of one', () => {
      const s = known();
      s.stack.sendDatagram(s.now, id, new Uint8Array(3000), 0, 3000);
      for (const frame of s.writer.take()) s.frames(report(2, 0, 1280, frame));
      assert.deepEqual(datagrams(s, 1240), [1280, 64]);
    });
    it('it was an echo reply', () => {
      const s = known();
      const asked = { ...ends, identifier: 77, sequence: 3 };
      s.stack.sendEchoReply(s.now, asked, new Uint8Array(1400), 0, 1400);
      s.frames(report(2, 0, 1280, s.writer.take()[0] ?? new Uint8Array(60)));
      s.stack.sendEchoReply(s.now, asked, new Uint8Array(1400), 0, 1400);
      assert.equal(s.writer.take().length, 2);
    });
    for (const [name, mtu, from, reason] of [
      ['of less than 1280', 1279, GUEST6, 'icmpv6-mtu-too-small'],
      ['of another guest', 1280, 'fd12:3456:789a:1::3', 'icmp-not-for-us'],
    ] as const) {
      it(`a report ${name} is ignored (RFC 8201 §4)`, () => {
        const s = known();
        s.stack.sendDatagram(s.now, id, new Uint8Array(1400), 0, 1400);
        s.frames(report(2, 0, mtu, s.writer.take()[0] ?? new Uint8Array(60), from));
        assert.equal(s.drops()[reason], 1);
        assert.deepEqual(datagrams(s, 1400), [1448]);
      });
    }
    const L4 = 40;
    for (const [name, at] of [
      ['to another port', L4 + 3],
      ['from another port', L4 + 1],
      ['from another address', 23],
      ['with the label of another', 3],
    ] as const) {
      it(`a report about one ${name}, which it was not sent, is ignored`, () => {
        const s = known();
        s.stack.sendDatagram(s.now, id, new Uint8Array(1400), 0, 1400);
        const quoted = s.writer.take()[0] ?? assert.fail();
        const l3 = l3Of(quoted);
        l3[at] = (l3[at] ?? 0) ^ 1;
        s.frames(report(2, 0, 1280, quoted));
        assert.equal(s.drops()['icmp-not-for-us'], 1);
        assert.deepEqual(datagrams(s, 1400), [1448]);
      });
    }
    it('so is one about another echo reply, or a request', () => {
      const s = known();
      s.stack.sendEchoReply(
        s.now,
        { ...ends, identifier: 77, sequence: 3 },
        new Uint8Array(1400),
        0,
        1400,
      );
      const reply = s.writer.take()[0] ?? assert.fail();
      for (const [at, value] of [
        [L4 + 5, 78],
        [L4, ECHO],
      ] as const) {
        const quoted = reply.slice();
        l3Of(quoted)[at] = value;
        s.frames(report(2, 0, 1280, quoted));
      }
      assert.equal(s.drops()['icmp-not-for-us'], 2);
    });
    it('so is one about a later piece alone, which does not say of what it is, or too little of the first', () => {
      const s = known();
      s.stack.sendDatagram(s.now, id, new Uint8Array(3000), 0, 3000);
      const [first = assert.fail(), later = assert.fail()] = s.writer.take();
      s.frames(report(2, 0, 1280, later));
      s.frames(report(2, 0, 1280, first.subarray(0, 14 + L4 + 8)));
      assert.equal(s.drops()['icmp-not-for-us'], 2);
      assert.deepEqual(datagrams(s, 1400), [1448]);
    });
    it('a guest that comes back elsewhere says so again', () => {
      const s = known();
      s.stack.sendDatagram(s.now, id, new Uint8Array(1400), 0, 1400);
      s.frames(report(2, 0, 1280, s.writer.take()[0] ?? new Uint8Array(60)));
      s.frames(
        icmp6Frame([ECHO, 0, 0, 0, 0, 1, 0, 1], through(GATEWAY6, { srcMac: 0x5254_0000_0009 })),
      );
      s.writer.take();
      assert.deepEqual(datagrams(s, 1400), [1448]);
    });
    it('a report that quotes too little is counted', () => {
      const s = known().frames(icmp6Frame([2, 0, 0, 0, ...word(1280), ...numbers(47)], through()));
      assert.deepEqual(s.drops(), { 'icmpv6-truncated': 1 });
    });
    it('as is one about a piece of which nothing is there', () => {
      const header = [0x60, 0, 0, 0, 0, 8, FRAGMENT, 64, ...new Array<number>(32).fill(0)];
      const s = known().frames(
        icmp6Frame([1, 0, 0, 0, ...word(0), ...header, ...numbers(8)], through()),
      );
      assert.deepEqual(s.drops(), { 'icmp-not-for-us': 1 });
    });
  });

  overFamily(IPV6, 'about TCP', () => {
    const full = (s: Script): Uint8Array[] =>
      s.writer.take().filter((frame) => protocolOf(frame) === TCP);
    const lengths = (s: Script): number[] => full(s).map((frame) => l3Of(frame).length);

    it('packet too big: segments are sent again, as short as the path takes', () => {
      const s = established({ mtu: 1480 });
      s.send(2000);
      const [first] = full(s);
      assert.ok(first);
      assert.equal(l3Of(first).length, 1500);
      s.frames(report(2, 0, 1300, first));
      assert.deepEqual(lengths(s), [1300, 820]);
    });

    for (const [name, change, mtu, reason] of [
      ['of less than 1280', () => {}, 1279, 'icmpv6-mtu-too-small'],
      [
        'about no connection of ours',
        (view: DataView) => view.setUint16(14 + 42, 9),
        1280,
        undefined,
      ],
      [
        'about what is not in flight',
        (view: DataView) => view.setUint32(14 + 44, 1),
        1280,
        undefined,
      ],
    ] as const) {
      it(`a report ${name} is ignored`, () => {
        const s = established({ mtu: 1480 });
        s.send(1440);
        const [first] = full(s);
        assert.ok(first);
        change(viewOf(first));
        s.frames(report(2, 0, mtu, first));
        assert.deepEqual(full(s), []);
        assert.equal(reason === undefined ? 1 : s.drops()[reason], 1);
      });
    }

    for (const [code, isHard] of [
      [0, false],
      [1, true],
      [2, false],
      [3, false],
      [4, true],
      [5, true],
      [6, true],
    ] as const) {
      it(`unreachable, code ${code}, ${isHard ? 'ends' : 'does not end'} an attempt`, () => {
        const s = known();
        s.dial();
        const [syn] = full(s);
        assert.ok(syn);
        s.frames(report(1, code, 0, syn));
        assert.equal(s.app.closed, isHard ? 'unreachable' : undefined);
      });
    }

    it('unreachable does not end a connection', () => {
      const s = established();
      s.send(100);
      const [first] = full(s);
      assert.ok(first);
      s.frames(report(1, 1, 0, first));
      assert.equal(s.app.closed, undefined);
    });

    for (const [reason, code] of [
      ['host-unreachable', 3],
      ['net-unreachable', 0],
      ['prohibited', 1],
    ] as const) {
      it(`a SYN refused as ${reason} is answered with 1/${code}`, () => {
        const s = script6();
        s.policy = 'keep';
        s.in({ flags: 'S' });
        s.requests[0]?.refuse(s.now, reason);
        const [error] = messages(s);
        assert.ok(error);
        assert.deepEqual([error[0], error[1]], [1, code]);
        assert.deepEqual([viewOf(error).getUint16(48), viewOf(error).getUint16(50)], [40_000, 80]);
      });
    }

    for (const [name, mtu, offer, mss] of [
      ['ours is what 1280 bytes take', 1260, PLAIN, 1220],
      ['ours is what the link takes', 1480, PLAIN, 1440],
    ] as const) {
      it(`MSS: ${name}`, () => {
        const s = script6({ mtu }).in({ flags: 'S', ...offer });
        assert.equal(s.records()[0]?.mss, mss);
      });
    }

    it('MSS: of a guest that names none it is 1220 (RFC 9293 §3.7.1)', () => {
      const s = established({ offer: { mss: 0, win: 65_535 } });
      s.send(3000);
      assert.deepEqual(
        s.records().map(({ data }) => data.length),
        [1220, 1220, 560],
      );
    });
  });

  it('errors other than those about paths are not for us', () => {
    const s = known();
    s.stack.sendDatagram(s.now, id, new Uint8Array(100), 0, 100);
    const [frame] = s.writer.take();
    assert.ok(frame);
    s.frames(report(3, 0, 0, frame), report(4, 1, 6, frame), report(1, 3, 0, frame));
    assert.deepEqual(s.drops(), { 'icmp-not-for-us': 3 });
    assert.equal(l4Of(frame).length, 108);
    assert.deepEqual(icmp6Out(s), []);
  });
});
