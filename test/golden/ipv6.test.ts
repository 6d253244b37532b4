/** What real guests sent by IPv6, and hawser answered, once: our codecs and our stack still agree with it. */
import assert from 'node:assert/strict';
import { IpAddress } from '../../src/base/ip-address.ts';
import { pseudoAddressSum } from '../../src/wire/checksum.ts';
import { ETHERNET_HEADER_LEN } from '../../src/wire/ethernet.ts';
import { checkIcmpv6, PROTOCOL_ICMPV6 } from '../../src/wire/icmpv6.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../src/wire/ipv4.ts';
import { checkIpv6, IPV6_SRC, Ipv6Chain } from '../../src/wire/ipv6.ts';
import { checkTcp } from '../../src/wire/tcp.ts';
import { checkUdp } from '../../src/wire/udp.ts';
import { l3Of, viewOf } from '../support/frames.ts';
import { packet6 } from '../support/frames6.ts';
import { type CapturedFrame, captureNames, readCapture } from './support/capture.ts';
import { assertConversations, isFromGuest, isOfIpv6, Replay } from './support/replay.ts';

const PREFIX = new IpAddress(0xfd12_3456, 1, 0, 0);
const OWN = {
  prefix: PREFIX,
  gateway: new IpAddress(PREFIX.a, PREFIX.b, 0, 1),
  host: new IpAddress(PREFIX.a, PREFIX.b, 0, 0x254),
};
const [ROUTER_SOLICITATION, NEIGHBOR_SOLICITATION, NEIGHBOR_ADVERTISEMENT] = [133, 135, 136];
const [ECHO, ECHO_REPLY, MLDV2_REPORT] = [128, 129, 143];

/** Why a header or a checksum is not sound. */
function fault(frame: Uint8Array): string | undefined {
  const view = viewOf(frame);
  const chain = new Ipv6Chain();
  const off = ETHERNET_HEADER_LEN;
  const bad = checkIpv6(view, off, frame.length - off) ?? chain.walk(view, off);
  if (bad !== undefined || chain.isFragment) return bad;
  const { protocol, upperOff, upperLen } = chain;
  const words = Int32Array.from({ length: 8 }, (_, i) => view.getInt32(off + IPV6_SRC + 4 * i));
  const sum = pseudoAddressSum(words, 0, 4, 6, protocol);
  if (protocol === PROTOCOL_TCP) return checkTcp(view, upperOff, upperLen, sum);
  if (protocol === PROTOCOL_UDP) return checkUdp(view, upperOff, upperLen, sum);
  if (protocol === PROTOCOL_ICMPV6) return checkIcmpv6(view, upperOff, upperLen, sum);
  return `protocol ${protocol}`;
}

/** The type of an ICMPv6 message; 0 of anything else. */
function typeOf(frame: Uint8Array): number {
  const view = viewOf(frame);
  const chain = new Ipv6Chain();
  const isOurs = chain.walk(view, ETHERNET_HEADER_LEN) === undefined && !chain.isLaterFragment;
  return isOurs && chain.protocol === PROTOCOL_ICMPV6 ? view.getUint8(chain.upperOff) : 0;
}

/** Packets of one type, fragments as they are but for their number. */
const packetsOf = (frames: readonly Uint8Array[], type: number): string[] =>
  frames
    .filter((frame) => typeOf(frame) === type)
    .map((frame) => {
      const bytes = Buffer.from(l3Of(frame));
      if (bytes[6] === 44) bytes.fill(0, 44, 48);
      return bytes.toString('hex');
    });

/** Each stack has labels of its own. */
const withoutLabel = (packet: string): string => `60000000${packet.slice(8)}`;

describe('golden captures of IPv6', () => {
  const captures = new Map<string, readonly CapturedFrame[]>();
  const framesOf = (name: string): readonly CapturedFrame[] =>
    (captures.get(name) ?? []).filter(isOfIpv6);
  const names = captureNames(6);
  before(async () => {
    for (const name of names) captures.set(name, await readCapture(name));
  });

  it('are there', () => assert.ok(names.length >= 4, names.join()));

  for (const name of names) {
    describe(name, () => {
      it('every frame is sound to our codecs', () => {
        for (const { bytes } of framesOf(name)) assert.equal(fault(bytes), undefined);
      });

      it('the stack takes every frame of the guest', () => {
        const replay = new Replay(OWN);
        replay.play(framesOf(name));
        assert.deepEqual(replay.stack.drops.snapshot(), {});
      });

      it('begins with what a kernel does: probes, reports, solicitations', () => {
        const types = new Set(
          framesOf(name)
            .filter(isFromGuest)
            .map(({ bytes }) => typeOf(bytes)),
        );
        for (const type of [ROUTER_SOLICITATION, NEIGHBOR_SOLICITATION, MLDV2_REPORT]) {
          assert.ok(types.has(type), `${type}`);
        }
      });

      it('neighbours and pings are answered as they were, byte for byte but for labels of flows', () => {
        const replay = new Replay(OWN);
        const frames = framesOf(name);
        replay.play(frames);
        const then = frames.filter((frame) => !isFromGuest(frame)).map(({ bytes }) => bytes);
        const advertised = packetsOf(replay.sent, NEIGHBOR_ADVERTISEMENT);
        assert.deepEqual(advertised, packetsOf(then, NEIGHBOR_ADVERTISEMENT));
        const ofGateway = packetsOf(replay.sent, ECHO_REPLY).map(withoutLabel);
        const replies = packetsOf(then, ECHO_REPLY).map(withoutLabel);
        assert.deepEqual(
          ofGateway,
          replies.filter((one) => ofGateway.includes(one)),
        );
      });

      it('every connection carries what it carried', () => {
        const replay = new Replay(OWN);
        replay.play(framesOf(name));
        assertConversations(replay);
      });
    });
  }

  it('ping: those of the gateway are answered in one piece and in fragments, all nodes too', () => {
    const replay = new Replay(OWN);
    const frames = framesOf('ipv6-ping');
    replay.play(frames);
    const asked = frames.filter((frame) => isFromGuest(frame) && typeOf(frame.bytes) === ECHO);
    assert.equal(asked.length, 9);
    assert.equal(packetsOf(replay.sent, ECHO_REPLY).length, 5);
    assert.equal(replay.echoes.length, 4); // to the host: they go up, in one piece each
  });

  it('udp: datagrams arrive whole, those in fragments too', () => {
    const replay = new Replay(OWN);
    replay.play(framesOf('ipv6-udp'));
    assert.deepEqual(
      replay.datagrams.map(({ length }) => length),
      [5, 4000],
    );
  });

  it('slaac: the address that the kernel made is not known while it is tentative', () => {
    const replay = new Replay(OWN);
    replay.play(framesOf('ipv6-slaac'));
    const known: string[] = [];
    replay.stack.stations.forEachNeighbor(({ address }) => known.push(`${address}`));
    const [source] = framesOf('ipv6-slaac')
      .map(({ bytes }) => packet6(bytes).src)
      .filter((src) => src !== '::');
    assert.deepEqual(known, [source]);
  });
});
