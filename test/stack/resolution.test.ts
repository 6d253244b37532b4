/** Who is asked for, when, and what waits for the answer. */
import assert from 'node:assert/strict';
import { ipv4 } from '../../src/base/ip-address.ts';
import type { FlowId } from '../../src/stack/flow.ts';
import { isGroupMac, readMac, writeMac } from '../../src/wire/mac.ts';
import { family, overBothFamilies } from '../support/family.ts';
import {
  arpFrame,
  GATEWAY_IP,
  GATEWAY_MAC,
  GUEST_IP,
  GUEST_MAC,
  isArp,
  isQuestion,
  l4Of,
  protocolOf,
  SERVER_IP,
  udpFrame,
  viewOf,
} from '../support/frames.ts';
import { advertisementOfGuest, probeOfGuest } from '../support/frames6.ts';
import { frameOver } from '../support/lend.ts';
import { established, Script } from '../support/script.ts';

const NEW_MAC = 0x5254_0077_0001;
const BROADCAST = 0xffff_ffff_ffff;
const SOLICITATION = 135;
const UDP = 17;
const TCP = 6;

const flowTo = (guest: number): FlowId => ({
  guest: family().address(guest),
  guestPort: 7000,
  remote: family().address(SERVER_IP),
  remotePort: 53,
});

const send = (s: Script, guest: number, text: string): boolean => {
  const bytes = new TextEncoder().encode(text);
  const sent = s.stack.sendDatagram(s.now, flowTo(guest), bytes, 0, bytes.length);
  bytes.fill(0); // they were only lent
  s.stack.flush();
  return sent;
};

const isAsking = (frame: Uint8Array): boolean =>
  isArp(frame) || (isQuestion(frame) && l4Of(frame)[0] === SOLICITATION);

/** The guest says that it has `mac`, as it was asked. */
const answer = (mac: number): Uint8Array =>
  family().version === 4
    ? arpFrame(2, mac, GUEST_IP, GATEWAY_IP, GATEWAY_MAC)
    : advertisementOfGuest(mac);

/** Destination, asked address and payloads of what the stack sent. */
function sent(s: Script): { asked: number[]; datagrams: string[]; segments: number } {
  const frames = s.writer.take();
  return {
    asked: frames.filter(isAsking).map((frame) => {
      const to = readMac(viewOf(frame), 0);
      return isGroupMac(to) ? BROADCAST : to;
    }),
    datagrams: frames
      .filter((frame) => protocolOf(frame) === UDP)
      .map((frame) => new TextDecoder().decode(l4Of(frame).subarray(8))),
    segments: frames.filter((frame) => protocolOf(frame) === TCP).length,
  };
}

overBothFamilies('stack/resolution', ({ version }) => {
  it('the first datagram to a guest not seen waits for its answer', () => {
    const s = new Script();
    assert.ok(send(s, GUEST_IP, 'first'));
    assert.deepEqual(sent(s), { asked: [BROADCAST], datagrams: [], segments: 0 });
    s.frames(answer(GUEST_MAC));
    assert.deepEqual(sent(s).datagrams, ['first']);
    assert.deepEqual(s.drops(), {});
    send(s, GUEST_IP, 'second');
    assert.deepEqual(sent(s), { asked: [], datagrams: ['second'], segments: 0 });
  });

  it('a dial to a guest that no link has ends when the last question is unanswered', () => {
    const s = new Script();
    assert.ok(s.dial());
    s.advance(2_900);
    assert.equal(s.app.closed, undefined);
    s.advance(200);
    assert.equal(s.app.closed, 'unreachable');
  });

  it('a dial waits for the answer of a guest that left earlier ones unanswered', () => {
    const s = new Script();
    s.dial();
    s.advance(8000);
    sent(s);
    assert.ok(s.dial());
    assert.deepEqual(sent(s), { asked: [BROADCAST], datagrams: [], segments: 0 });
    s.frames(answer(GUEST_MAC)).advance(16);
    assert.equal(sent(s).segments, 1);
  });

  if (version === 6) {
    it('a guest that detects duplicates of its address has three seconds from then', () => {
      const s = new Script();
      send(s, GUEST_IP, 'waits');
      s.advance(2500);
      s.frames(probeOfGuest());
      s.advance(1500);
      s.frames(answer(GUEST_MAC));
      assert.deepEqual(sent(s).datagrams, ['waits']);
      assert.deepEqual(s.drops(), {});
    });

    it('and is asked for no more after these', () => {
      const s = new Script();
      send(s, GUEST_IP, 'waits');
      s.advance(2500);
      s.frames(probeOfGuest());
      s.advance(3500);
      assert.deepEqual(s.drops(), { 'neighbor-unanswered': 1 });
    });
  }

  it('keeps the latest datagram, and counts those it replaced', () => {
    const s = new Script();
    for (const text of ['one', 'two', 'three']) assert.ok(send(s, GUEST_IP, text));
    s.announce();
    assert.deepEqual(sent(s).datagrams, ['three']);
    assert.deepEqual(s.drops(), { 'neighbor-queue-replaced': 2 });
  });

  it('asks three times, a second apart, then drops and counts what waited', () => {
    const s = new Script();
    send(s, GUEST_IP, 'lost');
    s.advance(60_000);
    assert.deepEqual(sent(s).asked, [BROADCAST, BROADCAST, BROADCAST]);
    assert.deepEqual(s.drops(), { 'neighbor-unanswered': 1 });
    s.announce();
    assert.deepEqual(sent(s).datagrams, []);
    assert.equal(s.stack.nextTimeout(), Number.POSITIVE_INFINITY);
  });

  it('asks again for whoever sends after that', () => {
    const s = new Script();
    send(s, GUEST_IP, 'lost');
    s.advance(4000);
    sent(s);
    send(s, GUEST_IP, 'kept');
    assert.deepEqual(sent(s).asked, [BROADCAST]);
  });

  it('neighbours in question are at most 256', () => {
    const s = new Script({ config: { subnet: ipv4(0x0a00_0000), prefixLen: 8 } });
    for (let i = 1; i <= 256; i++) assert.ok(send(s, 0x0a00_0000 + i, 'x'));
    assert.equal(send(s, 0x0a00_0200, 'x'), false);
    assert.equal(sent(s).asked.length, 256);
    s.advance(5000);
    assert.equal(s.drops()['neighbor-unanswered'], 256);
    assert.ok(send(s, 0x0a00_0200, 'x'), 'there is room again');
  });

  it('when there are 256, the guest with the most gives way to one that has gone', () => {
    const s = new Script({ config: { subnet: ipv4(0xc000_0000), prefixLen: 8 } });
    s.announce();
    s.reader.onLinkDown(s.now);
    for (let i = 1; i <= 256; i++) assert.ok(send(s, 0xc000_0000 + i, 'x'));
    assert.equal(send(s, 0xc000_0200, 'x'), false);
    assert.ok(send(s, GUEST_IP, 'kept'));
    assert.deepEqual(s.drops(), { 'neighbor-queue-full': 2, 'neighbor-unanswered': 1 });
  });

  it('bytes that wait are at most 256 KiB', () => {
    const s = new Script();
    const long = 'x'.repeat(60_000);
    for (let i = 0; i < 4; i++) assert.ok(send(s, GUEST_IP + i, long));
    assert.equal(send(s, GUEST_IP + 4, long), false);
    assert.equal(s.drops()['neighbor-queue-full'], 1);
    assert.ok(send(s, GUEST_IP, 'in its place'));
    assert.ok(send(s, GUEST_IP + 4, long), 'there is room again');
  });

  if (version === 4)
    it('a lease is an answer: the first datagram to a guest that has only done DHCP arrives', () => {
      const s = new Script();
      const lease = (type: number): void => {
        s.stack.serveDhcp((_now, _request, out, off) => {
          out.bytes.fill(0, off, off + 300);
          out.view.setInt32(off + 16, GUEST_IP);
          writeMac(out.view, off + 28, GUEST_MAC);
          out.view.setUint32(off + 236, 0x6382_5363);
          out.bytes.set([53, 1, type, 255], off + 240);
          return 300;
        });
        s.frames(udpFrame(68, 67, new Uint8Array(250), { src: 0, dst: -1, dstMac: BROADCAST }));
        s.writer.take();
      };
      lease(2);
      send(s, GUEST_IP, 'offered only');
      assert.deepEqual(sent(s), { asked: [BROADCAST], datagrams: [], segments: 0 });
      lease(5);
      send(s, GUEST_IP, 'leased');
      assert.deepEqual(sent(s), { asked: [], datagrams: ['leased'], segments: 0 });
    });

  it('a guest that leaves segments unanswered is asked by its address, then by all', () => {
    const s = established();
    s.advance(10_000);
    s.writer.take();
    s.send(100);
    s.advance(20_000);
    const { asked } = sent(s);
    assert.deepEqual(asked.slice(0, 3), [GUEST_MAC, BROADCAST, BROADCAST]);
    assert.ok(asked.length <= 9, `${asked.length} questions in 20 s`);
  });

  it('a guest with another Ethernet address has its segments there, at once', () => {
    const s = established();
    s.advance(10_000);
    s.send(100);
    s.advance(3000);
    s.writer.take();
    s.frames(answer(NEW_MAC));
    s.advance(16);
    const frames = s.writer.take().filter((frame) => protocolOf(frame) === TCP);
    assert.equal(frames.length, 1);
    assert.deepEqual(
      frames.map((frame) => readMac(viewOf(frame), 0)),
      [NEW_MAC],
    );
  });

  it('a SYN to a guest that has another Ethernet address by now finds it', () => {
    const s = new Script().announce();
    s.advance(10_000);
    s.writer.take();
    s.dial();
    s.stack.flush();
    s.advance(2500);
    const { asked } = sent(s);
    assert.deepEqual(asked, [GUEST_MAC, BROADCAST]);
    s.frames(answer(NEW_MAC)).advance(16);
    const frames = s.writer.take();
    assert.deepEqual(
      frames.map((frame) => readMac(viewOf(frame), 0)),
      [NEW_MAC],
    );
  });

  it('a guest that was heard while segments are lost is not asked for', () => {
    const s = established();
    s.send(100);
    for (let i = 0; i < 20; i++) {
      s.advance(500);
      s.reader.onFrame(s.now, frameOver(udpFrame(1, 2, new Uint8Array(4))));
    }
    assert.deepEqual(sent(s).asked, []);
  });
});
