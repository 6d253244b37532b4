/** What real guests sent, and hawser answered, once: our codecs and our stack still agree with it. */

import assert from 'node:assert/strict';
import { ipv4 } from '../../src/base/ip-address.ts';
import { SILENT } from '../../src/base/log.ts';
import { makeSlab } from '../../src/base/slab.ts';
import { DnsForwarder } from '../../src/proxy/dns/forwarder.ts';
import { DhcpServer, MAX_DHCP_REPLY_LEN } from '../../src/services/dhcp/server.ts';
import { LocalNames } from '../../src/services/dns/local-names.ts';
import { checkArp } from '../../src/wire/arp.ts';
import { pseudoAddressSum } from '../../src/wire/checksum.ts';
import { ETHERNET_HEADER_LEN } from '../../src/wire/ethernet.ts';
import { checkIcmp } from '../../src/wire/icmpv4.ts';
import {
  checkIpv4,
  ipv4Dst,
  ipv4Src,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../../src/wire/ipv4.ts';
import { checkTcp } from '../../src/wire/tcp.ts';
import { checkUdp } from '../../src/wire/udp.ts';
import { OWNER, SOCKETS } from '../proxy/recording.ts';
import {
  fragmentOf,
  GATEWAY_IP,
  HOST_IP,
  isArp,
  l3Of,
  l4Of,
  protocolOf,
  viewOf,
} from '../support/frames.ts';
import { type CapturedFrame, captureNames, readCapture } from './support/capture.ts';
import { assertConversations, icmpOf, isFromGuest, isOurs, Replay } from './support/replay.ts';

/** What a stack with nothing above it drops of a capture. */
const DROPS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  traceroute: { 'ipv4-ttl-expired': 1 }, // the first hop is the gateway
};

/** Why a header or a checksum is not sound. */
function fault(frame: Uint8Array): string | undefined {
  const view = viewOf(frame);
  const avail = frame.length - ETHERNET_HEADER_LEN;
  if (isArp(frame)) return checkArp(view, ETHERNET_HEADER_LEN, avail);
  const bad = checkIpv4(view, ETHERNET_HEADER_LEN, avail);
  if (bad !== undefined || (fragmentOf(frame) & ~0x4000) !== 0) return bad;
  const protocol = protocolOf(frame);
  const l3 = viewOf(l3Of(frame));
  const l4 = viewOf(l4Of(frame));
  const words = Int32Array.of(0, 0, 0, ipv4Src(l3, 0), 0, 0, 0, ipv4Dst(l3, 0));
  const sum = pseudoAddressSum(words, 0, 4, 4, protocol);
  if (protocol === PROTOCOL_TCP) return checkTcp(l4, 0, l4.byteLength, sum);
  if (protocol === PROTOCOL_UDP) return checkUdp(l4, 0, l4.byteLength, sum);
  return protocol === PROTOCOL_ICMP ? checkIcmp(l4, 0, l4.byteLength) : `protocol ${protocol}`;
}

/** UDP payloads of whole datagrams to or from a port of the gateway. */
const payloads = (
  frames: readonly CapturedFrame[],
  port: number,
  fromGuest: boolean,
): Uint8Array[] =>
  frames
    .filter((frame) => isOurs(frame) && isFromGuest(frame) === fromGuest)
    .map(({ bytes }) => bytes)
    .filter((frame) => protocolOf(frame) === PROTOCOL_UDP)
    .map((frame) => l4Of(frame))
    .filter((l4) => viewOf(l4).getUint16(fromGuest ? 2 : 0) === port)
    .map((l4) => l4.slice(8));

describe('golden captures', () => {
  const names = captureNames();
  it('are there', () => assert.ok(names.length >= 9, names.join()));

  for (const name of names) {
    describe(name, () => {
      let frames: readonly CapturedFrame[];
      before(async () => {
        frames = await readCapture(name);
      });

      it('every frame is sound to our codecs', () => {
        for (const { bytes } of frames.filter(isOurs)) assert.equal(fault(bytes), undefined);
      });

      it('the stack takes every frame of the guest', () => {
        const replay = new Replay();
        replay.play(frames);
        assert.deepEqual(replay.stack.drops.snapshot(), DROPS[name] ?? {});
      });

      it('every connection carries what it carried, and ends as it did', () => {
        const replay = new Replay();
        replay.play(frames);
        assertConversations(replay);
      });
    });
  }

  it('TCP: every way to end is among them', async () => {
    const ends = new Set<string>();
    for (const name of ['tcp-from-guest', 'tcp-to-guest']) {
      const replay = new Replay();
      replay.play(await readCapture(name));
      for (const talk of replay.conversations.values()) ends.add(`${talk.closed}`);
    }
    assert.deepEqual([...ends].sort(), ['finished', 'undefined']); // undefined: reset or refused by us
  });

  for (const name of ['dhcp-udhcpc', 'dhcp-dhclient', 'vm-boot']) {
    it(`${name}: our DHCP server answers as it did`, async () => {
      const frames = await readCapture(name);
      const server = new DhcpServer({
        subnet: 0xc0a8_7f00 | 0,
        prefix: 24,
        gateway: GATEWAY_IP,
        hostIp: HOST_IP,
        mtu: 1500,
        dns: [GATEWAY_IP],
        ntp: [GATEWAY_IP],
        search: [],
        domain: undefined,
        leaseSeconds: 3600,
        awayMs: 60_000,
        staticLeases: [],
      });
      const answers = payloads(frames, 67, true).map((bytes) => {
        const out = makeSlab(MAX_DHCP_REPLY_LEN);
        const len = server.answer(viewOf(bytes), out, 0, 0, 0);
        return Buffer.from(out.bytes.subarray(0, len)).toString('hex');
      });
      const then = payloads(frames, 67, false).map((bytes) => Buffer.from(bytes).toString('hex'));
      assert.equal(then.length, 2);
      assert.deepEqual(answers, then);
    });
  }

  for (const name of ['dns', 'vm-boot']) {
    it(`${name}: our DNS answers as it did`, async () => {
      const frames = await readCapture(name);
      const forwarder = new DnsForwarder({
        names: new LocalNames({ gateway: [ipv4(GATEWAY_IP)], host: [ipv4(HOST_IP)], zones: [] }),
        log: SILENT,
        now: () => 0,
        upstreams: [],
        hostsFile: undefined,
        onSearch: undefined,
        sockets: SOCKETS,
      });
      try {
        const answers: string[] = [];
        for (const query of payloads(frames, 53, true)) {
          forwarder.query(query, 'udp', OWNER, (reply) =>
            answers.push(Buffer.from(reply).toString('hex')),
          );
        }
        const then = payloads(frames, 53, false).map((bytes) => Buffer.from(bytes).toString('hex'));
        assert.ok(then.length > 0);
        assert.deepEqual(answers, then);
      } finally {
        forwarder.close();
      }
    });
  }

  it('ping: the gateway answers as it did, in one piece and in fragments', async () => {
    const frames = await readCapture('ping');
    const replay = new Replay();
    replay.play(frames);
    const then = icmpOf(
      frames.filter((frame) => isOurs(frame) && !isFromGuest(frame)).map(({ bytes }) => bytes),
    );
    const now = icmpOf(replay.sent);
    assert.equal(now.length, 2 + 2 * 3);
    assert.deepEqual(now, then.slice(0, now.length)); // the gateway was asked first
    assert.equal(replay.echoes.length, 4); // to the host: they go up, in one piece each
  });

  it('udp: datagrams arrive whole, those in fragments too', async () => {
    const replay = new Replay();
    replay.play(await readCapture('udp'));
    assert.deepEqual(
      replay.datagrams.map(({ length }) => length),
      [5, 4000, 1],
    );
  });

  it('traceroute: the first hop answers itself', async () => {
    const frames = await readCapture('traceroute');
    const replay = new Replay();
    replay.play(frames);
    const exceeded = icmpOf(replay.sent);
    const then = icmpOf(frames.filter((frame) => !isFromGuest(frame)).map(({ bytes }) => bytes));
    assert.deepEqual(exceeded, then.slice(0, 1));
  });
});
