/** The codecs of IPv6 read back what they wrote, and never read beyond what is there. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { IpAddress } from '../../src/base/ip-address.ts';
import { pseudoAddressSum } from '../../src/wire/checksum.ts';
import {
  checkIcmpv6,
  echo6Identifier,
  echo6Sequence,
  emitEcho6,
  emitIcmpv6Error,
  ICMPV6_ECHO,
  ICMPV6_ECHO_REPLY,
  icmpv6Code,
  icmpv6Mtu,
  icmpv6Type,
  PROTOCOL_ICMPV6,
} from '../../src/wire/icmpv6.ts';
import {
  checkIpv6,
  emitIpv6,
  emitIpv6Fragment,
  extensionLen,
  IPV6_DST,
  IPV6_HEADER_LEN,
  IPV6_SRC,
  Ipv6Chain,
  ipv6FragmentId,
  ipv6FragmentMore,
  ipv6FragmentOffset,
  ipv6HopLimit,
  ipv6NextHeader,
  ipv6PayloadLength,
  isExtension,
  setIpv6PayloadLength,
  setIpv6Whole,
} from '../../src/wire/ipv6.ts';
import { readIpv6Address } from '../../src/wire/ipv6-address.ts';
import {
  emitAdvertisement,
  emitSolicitation,
  findNdpOption,
  isOverriding,
  isSolicited,
  NDP_TARGET,
  NEIGHBOR_ADVERTISEMENT,
  NEIGHBOR_MESSAGE_LEN,
  NEIGHBOR_SOLICITATION,
  ndpLinkLayerAddress,
} from '../../src/wire/ndp.ts';

const u16 = fc.nat(65_535);
const u8 = fc.nat(255);
const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const mac = fc.integer({ min: 0, max: 0xffff_ffff_ffff });
const address = fc.tuple(word, word, word, word).map(([a, b, c, d]) => new IpAddress(a, b, c, d));
const hostile = fc.uint8Array({ maxLength: 120 });

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
/** Room for `len` bytes behind `off`, and no more. */
const room = (off: number, len: number): DataView => viewOf(new Uint8Array(off + len));

describe('wire/ipv6 properties', () => {
  it('a header is read back', () => {
    fc.assert(
      fc.property(
        fc.nat(7),
        address,
        address,
        u8,
        u8,
        fc.nat(60),
        fc.nat(0xf_ffff),
        (off, src, dst, next, hops, len, label) => {
          const view = room(off, IPV6_HEADER_LEN + len);
          emitIpv6(view, off, src, dst, next, hops, len, label);
          assert.equal(checkIpv6(view, off, IPV6_HEADER_LEN + len), undefined);
          assert.deepEqual(
            [ipv6NextHeader(view, off), ipv6HopLimit(view, off), ipv6PayloadLength(view, off)],
            [next, hops, len],
          );
          assert.equal(view.getUint32(off) & 0xf_ffff, label);
          assert.ok(readIpv6Address(view, off + IPV6_SRC).equals(src));
          assert.ok(readIpv6Address(view, off + IPV6_DST).equals(dst));
          setIpv6Whole(view, off, 6, 3);
          assert.deepEqual([ipv6NextHeader(view, off), ipv6PayloadLength(view, off)], [6, 3]);
          setIpv6PayloadLength(view, off, len);
          assert.equal(checkIpv6(view, off, IPV6_HEADER_LEN + len - 1) === undefined, false);
        },
      ),
    );
  });

  it('a fragment header is read back', () => {
    fc.assert(
      fc.property(u8, word, fc.nat(8191), fc.boolean(), (next, id, units, more) => {
        const view = room(0, 8);
        emitIpv6Fragment(view, 0, next, id, 8 * units, more);
        assert.deepEqual(
          [
            view.getUint8(0),
            ipv6FragmentId(view, 0),
            ipv6FragmentOffset(view, 0),
            ipv6FragmentMore(view, 0),
          ],
          [next, id, 8 * units, more],
        );
      }),
    );
  });

  const header = fc.record({
    kind: fc.constantFrom(0, 43, 51, 60, 135, 139, 140),
    units: fc.nat(3),
  });
  it('a chain of headers ends where the upper layer begins, or is said to be too long', () => {
    fc.assert(
      fc.property(
        fc.array(header, { maxLength: 11 }),
        fc.constantFrom(6, 17, 50, 58, 59),
        fc.nat(40),
        (headers, upper, len) => {
          const kinds = [...headers.map(({ kind }) => kind), upper];
          const bytes = headers.flatMap(({ kind, units }, i) => {
            const size = kind === 51 ? 4 * (units + 2) : 8 * (units + 1);
            return [kinds[i + 1] ?? 0, units, ...new Array<number>(size - 2).fill(0)];
          });
          const view = room(0, IPV6_HEADER_LEN + bytes.length + len);
          const nobody = new IpAddress(0, 0, 0, 0);
          emitIpv6(view, 0, nobody, nobody, kinds[0] ?? 0, 64, bytes.length + len);
          for (const [i, byte] of bytes.entries()) view.setUint8(IPV6_HEADER_LEN + i, byte);
          const chain = new Ipv6Chain();
          const fault = chain.walk(view, 0);
          assert.equal(fault, headers.length > 9 ? 'ipv6-too-many-headers' : undefined);
          if (fault !== undefined) return;
          assert.deepEqual(
            [chain.protocol, chain.upperOff, chain.upperLen, chain.isFragment],
            [upper, IPV6_HEADER_LEN + bytes.length, len, false],
          );
          const least = upper === 6 ? 20 : upper === 17 || upper === 58 ? 8 : 0;
          assert.equal(chain.isUpperCut, len < least);
        },
      ),
    );
  });

  it('whatever comes, a chain ends within the packet', () => {
    fc.assert(
      fc.property(hostile, fc.constantFrom(0, 43, 44, 51, 60, 6, 58), (bytes, first) => {
        const view = room(0, IPV6_HEADER_LEN + bytes.length);
        const nobody = new IpAddress(0, 0, 0, 0);
        emitIpv6(view, 0, nobody, nobody, first, 64, bytes.length);
        for (const [i, byte] of bytes.entries()) view.setUint8(IPV6_HEADER_LEN + i, byte);
        const chain = new Ipv6Chain();
        if (chain.walk(view, 0) !== undefined) return;
        assert.ok(chain.upperLen >= 0);
        assert.equal(chain.upperOff + chain.upperLen, view.byteLength);
        assert.ok(chain.isLaterFragment || !isExtension(chain.protocol));
      }),
      { numRuns: 1000 },
    );
  });

  it('whatever comes, a header is sound or has a fault', () => {
    fc.assert(
      fc.property(hostile, (bytes) => {
        if (checkIpv6(viewOf(bytes), 0, bytes.length) !== undefined) return;
        assert.ok(IPV6_HEADER_LEN + ipv6PayloadLength(viewOf(bytes), 0) <= bytes.length);
      }),
    );
  });

  it('an extension header has 8 bytes at least', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 8, maxLength: 8 }), u8, (bytes, kind) => {
        assert.ok(extensionLen(viewOf(bytes), 0, kind) >= 8);
      }),
    );
  });
});

describe('wire/icmpv6 properties', () => {
  const ends = fc.tuple(address, address).map(([src, dst]) => {
    const words = Int32Array.of(src.a, src.b, src.c, src.d, dst.a, dst.b, dst.c, dst.d);
    return pseudoAddressSum(words, 0, 4, 6, PROTOCOL_ICMPV6);
  });

  it('echo is read back, and its sum is right; of a changed byte it is wrong', () => {
    const types = fc.constantFrom(ICMPV6_ECHO, ICMPV6_ECHO_REPLY);
    fc.assert(
      fc.property(
        fc.nat(7),
        types,
        u16,
        u16,
        fc.uint8Array({ maxLength: 40 }),
        ends,
        fc.nat(1000),
        (off, type, id, sequence, data, sum, where) => {
          const len = 8 + data.length;
          const view = room(off, len);
          for (const [i, byte] of data.entries()) view.setUint8(off + 8 + i, byte);
          emitEcho6(view, off, type, id, sequence, data.length, sum);
          assert.equal(checkIcmpv6(view, off, len, sum), undefined);
          assert.deepEqual(
            [
              icmpv6Type(view, off),
              icmpv6Code(view, off),
              echo6Identifier(view, off),
              echo6Sequence(view, off),
            ],
            [type, 0, id, sequence],
          );
          const at = off + (where % len);
          view.setUint8(at, view.getUint8(at) ^ 1);
          assert.equal(checkIcmpv6(view, off, len, sum), 'icmpv6-bad-checksum');
          assert.equal(checkIcmpv6(view, off, len, -1), undefined, 'the link vouches for it');
        },
      ),
    );
  });

  it('errors are read back', () => {
    fc.assert(
      fc.property(
        fc.nat(127),
        u8,
        fc.nat(0xffff_ffff),
        fc.uint8Array({ maxLength: 40 }),
        ends,
        (type, code, parameter, quote, sum) => {
          const view = room(0, 8 + quote.length);
          for (const [i, byte] of quote.entries()) view.setUint8(8 + i, byte);
          emitIcmpv6Error(view, 0, type, code, parameter, quote.length, sum);
          assert.equal(checkIcmpv6(view, 0, view.byteLength, sum), undefined);
          assert.deepEqual(
            [icmpv6Type(view, 0), icmpv6Code(view, 0), icmpv6Mtu(view, 0)],
            [type, code, parameter],
          );
        },
      ),
    );
  });

  it('whatever comes, it is sound or has a fault', () => {
    fc.assert(
      fc.property(hostile, (bytes) => {
        const fault = checkIcmpv6(viewOf(bytes), 0, bytes.length, 0);
        assert.equal(fault === 'icmpv6-truncated', bytes.length < 4);
      }),
    );
  });
});

describe('wire/ndp properties', () => {
  it('solicitations and advertisements are read back', () => {
    fc.assert(
      fc.property(fc.nat(7), address, mac, fc.boolean(), (off, target, station, solicited) => {
        const view = room(off, NEIGHBOR_MESSAGE_LEN);
        const read = (type: number, kind: number): number => {
          assert.equal(icmpv6Type(view, off), type);
          assert.ok(readIpv6Address(view, off + NDP_TARGET).equals(target));
          return ndpLinkLayerAddress(
            view,
            findNdpOption(view, type, off, NEIGHBOR_MESSAGE_LEN, kind),
          );
        };
        emitSolicitation(view, off, target, station);
        assert.equal(read(NEIGHBOR_SOLICITATION, 1), station);
        emitAdvertisement(view, off, target, station, solicited);
        assert.equal(read(NEIGHBOR_ADVERTISEMENT, 2), station);
        assert.deepEqual([isSolicited(view, off), isOverriding(view, off)], [solicited, true]);
      }),
    );
  });

  it('whatever comes, an option is found within the message, or none', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 80 }),
        fc.constantFrom(133, 135, 136),
        fc.constantFrom(1, 2),
        (bytes, type, kind) => {
          const found = findNdpOption(viewOf(bytes), type, 0, bytes.length, kind);
          assert.ok(found <= Math.max(0, bytes.length - 8));
          if (found > 0) assert.equal(bytes[found], kind);
        },
      ),
      { numRuns: 1000 },
    );
  });
});
