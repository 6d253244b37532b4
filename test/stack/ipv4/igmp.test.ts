/** Groups of IPv4 that guests join, and where frames to groups go (RFC 4541 §2). One row a rule. */
import assert from 'node:assert/strict';
import { ASK_INTERVAL_S, MAX_JOINED_GROUPS } from '../../../src/stack/joined-groups.ts';
import { sum16 } from '../../../src/wire/checksum.ts';
import { checkIpv4 } from '../../../src/wire/ipv4.ts';
import { ipFrame, udpFrame, viewOf } from '../../support/frames.ts';
import { type LabLink, SegmentLab } from '../../support/segment-lab.ts';

const IGMP = 2;
const LEARNING_MS = 10_000;
const L3 = 14;
const ALL_ROUTERS = 0xe000_0016 | 0;

const wordOf = (address: string): number =>
  address.split('.').reduce((word, part) => (word << 8) | Number(part), 0);
const macOf = (address: number): number => 0x0100_5e00_0000 + (address & 0x7f_ffff);

function summed(message: readonly number[]): Uint8Array {
  const bytes = Uint8Array.from(message);
  viewOf(bytes).setUint16(2, ~sum16(viewOf(bytes), 0, bytes.length) & 0xffff);
  return bytes;
}

/** Links on one segment; each has one station. */
class Lab {
  readonly segment = new SegmentLab();
  readonly links: LabLink[];

  constructor(links: number) {
    this.links = Array.from({ length: links }, (_, i) => this.segment.link(`link${i}`));
  }

  private send(link: number, make: (fields: object) => Uint8Array, to: number): void {
    const srcMac = 0x5254_0000_0100 + 4 * link;
    const src = (0xc0a8_7f0a | 0) + link;
    this.links[link]?.send(make({ src, srcMac, dst: to, dstMac: macOf(to), ttl: 1 }));
  }

  report(link: number, groups: readonly string[], type = 4): this {
    const records = groups.flatMap((group) => [type, 0, 0, 0, ...group.split('.').map(Number)]);
    const count = [groups.length >> 8, groups.length & 255];
    return this.say(link, summed([0x22, 0, 0, 0, 0, 0, ...count, ...records]), ALL_ROUTERS);
  }

  say(link: number, message: Uint8Array, to: number): this {
    this.send(link, (fields) => ipFrame(IGMP, message, fields), to);
    return this;
  }

  /** Which links a datagram of link 0 to `group` reaches. */
  reached(group: string): number[] {
    for (const link of this.links) link.heard();
    this.send(0, (fields) => udpFrame(1900, 1900, Uint8Array.of(1), fields), wordOf(group));
    return this.links.flatMap((link, i) =>
      link.heard().some((frame) => viewOf(frame).getInt32(L3 + 16) === wordOf(group)) ? [i] : [],
    );
  }

  /** The questions that a frame of link 0 to a group makes each link be asked. */
  asked(): Uint8Array[][] {
    for (const link of this.links) link.writer.take();
    this.send(0, (fields) => udpFrame(1, 2, Uint8Array.of(1), fields), wordOf('239.9.9.9'));
    return this.links.map((link) => link.writer.take().filter((frame) => frame[L3 + 9] === IGMP));
  }

  /** Link 1 has joined 239.1.1.1, link 2 239.1.1.2, link 3 says nothing; it counts by now. */
  learned(): this {
    this.asked();
    this.report(1, ['239.1.1.1']).report(2, ['239.1.1.2']);
    this.segment.now += LEARNING_MS;
    return this;
  }
}

describe('stack/ipv4 igmp', () => {
  it('a frame to a group goes to who joined it, and to who never said', () => {
    const lab = new Lab(4).learned();
    assert.deepEqual(lab.reached('239.1.1.1'), [1, 3]);
    assert.deepEqual(lab.reached('239.1.1.2'), [2, 3]);
  });

  it('one to a group that nobody joined goes to all', () => {
    assert.deepEqual(new Lab(4).learned().reached('239.1.1.9'), [1, 2, 3]);
  });

  it('one to 224.0.0.0/24 goes to all, whoever has joined it', () => {
    const lab = new Lab(4).learned().report(1, ['224.0.0.251']);
    assert.deepEqual(lab.reached('224.0.0.251'), [1, 2, 3]);
  });

  it('a report counts from ten seconds after the first question', () => {
    const lab = new Lab(3);
    lab.report(1, ['239.1.1.1']).report(2, ['239.1.1.2']);
    assert.deepEqual(lab.reached('239.1.1.1'), [1, 2], 'not asked yet');
    lab.segment.now += LEARNING_MS;
    assert.deepEqual(lab.reached('239.1.1.1'), [1]);
  });

  it('a group that is missing from the answers to two questions is forgotten', () => {
    const lab = new Lab(3).learned().report(1, ['239.1.1.7']);
    for (let round = 0; round < 3; round++) {
      assert.deepEqual(lab.reached('239.1.1.1'), [1], `${round}`);
      lab.segment.now += ASK_INTERVAL_S * 1000;
      lab.asked();
      lab.report(1, ['239.1.1.7']).report(2, ['239.1.1.2']);
    }
    assert.deepEqual(lab.reached('239.1.1.1'), [1, 2]);
    assert.deepEqual(lab.reached('239.1.1.7'), [1]);
  });

  it('a link with more groups than there is room for is sent everything, and it is counted', () => {
    const lab = new Lab(3).learned();
    const many = Array.from({ length: MAX_JOINED_GROUPS }, (_, i) => `239.2.${i >> 8}.${i & 255}`);
    for (let at = 0; at < many.length; at += 64) lab.report(2, many.slice(at, at + 64));
    assert.deepEqual(lab.reached('239.1.1.1'), [1, 2]);
    assert.equal(lab.segment.drops()['igmp-group-table-full'], 1);
  });

  it('links are asked with the first frame to a group, and then once in an interval', () => {
    const lab = new Lab(3);
    const counts = (): number[] => lab.asked().map((questions) => questions.length);
    assert.deepEqual(counts(), [0, 1, 1]);
    lab.segment.now += ASK_INTERVAL_S * 1000 - 1;
    assert.deepEqual(counts(), [0, 0, 0]);
    lab.segment.now += 1;
    assert.deepEqual(counts(), [0, 1, 1]);
  });

  it('the question is one of version 3 to all hosts, with a router alert and a sound header', () => {
    const [, [question] = []] = new Lab(2).asked();
    assert.ok(question);
    const view = viewOf(question);
    assert.equal(checkIpv4(view, L3, question.length - L3), undefined);
    assert.deepEqual(
      [...question.subarray(0, 6), question[L3], question[L3 + 8]],
      [1, 0, 0x5e, 0, 0, 1, 0x46, 1],
    );
    assert.deepEqual(
      [view.getUint32(L3 + 16), view.getUint32(L3 + 20), question[L3 + 24]],
      [0xe000_0001, 0x9404_0000, 0x11],
    );
    assert.equal(sum16(view, L3 + 24, 12), 0xffff);
  });

  it('a host of an older version keeps others silent: every frame goes to all from then on', () => {
    for (const type of [0x12, 0x16]) {
      const lab = new Lab(3).learned();
      lab.say(2, summed([type, 0, 0, 0, 239, 1, 1, 1]), wordOf('239.1.1.1'));
      assert.deepEqual(lab.reached('239.1.1.2'), [1, 2]);
    }
  });

  it('reports are taken in silence; what is not sound, or not whole, is counted', () => {
    const lab = new Lab(2);
    lab.report(0, ['239.1.1.1']);
    assert.deepEqual(lab.segment.drops(), {});
    lab.say(0, Uint8Array.of(0x22, 0, 1, 2, 0, 0, 0, 0), ALL_ROUTERS);
    lab.say(0, summed([0x22, 0, 0, 0, 0, 0, 0, 1]), ALL_ROUTERS);
    assert.deepEqual(lab.segment.drops(), { 'igmp-bad-message': 2 });
  });
});
