/** Groups that guests join, and where frames to groups go (RFC 4541). One row a rule. */
import assert from 'node:assert/strict';
import { ASK_INTERVAL_S, MAX_JOINED_GROUPS } from '../../../src/stack/joined-groups.ts';
import type { FrameReader } from '../../../src/stack/link.ts';
import { viewOf } from '../../support/frames.ts';
import {
  address6,
  frame6,
  icmp6Frame,
  packet6,
  ROUTER6,
  summed,
  UDP,
  udp6,
} from '../../support/frames6.ts';
import { lend } from '../../support/lend.ts';
import { RecordingWriter, type Script } from '../../support/script.ts';
import { script6 } from '../../support/script6.ts';

const QUERY = 130;
const OLD_REPORT = 131;
const LEARNING_MS = 10_000;
const INTERVAL_MS = ASK_INTERVAL_S * 1000;
const ALERT = [[0, [0, 5, 2, 0, 0, 1, 0]]] as const;

/** Links on one segment; each has one station. */
class Lab {
  readonly s: Script;
  readonly writers: RecordingWriter[] = [];
  private readonly readers: FrameReader[] = [];

  constructor(links: number, ipv6 = true) {
    this.s = script6({ config: ipv6 ? {} : { ipv6: undefined } });
    for (let i = 0; i < links; i++) {
      const writer = new RecordingWriter();
      const reader = this.s.stack.attach(this.s.now, `link${i}`, writer);
      assert.ok(reader);
      this.writers.push(writer);
      this.readers.push(reader);
    }
  }

  send(link: number, frame: Uint8Array): this {
    const reader = this.readers[link];
    assert.ok(reader);
    lend(reader, this.s.now, frame.slice());
    reader.onBatchEnd(this.s.now);
    return this;
  }

  report(link: number, groups: readonly string[], type = 4): this {
    const records = groups.flatMap((group) => [type, 0, 0, 0, ...address6(group)]);
    const message = [143, 0, 0, 0, 0, 0, groups.length >> 8, groups.length & 255, ...records];
    const ends = { ...stationOf(link), dst: 'ff02::16', dstMac: 0x3333_0000_0016 };
    return this.send(link, icmp6Frame(message, { ...ends, hopLimit: 1, extensions: ALERT }));
  }

  /** Which links a datagram of link 0 to `group` reaches. */
  reached(group: string): number[] {
    for (const writer of this.writers) writer.take();
    this.send(0, datagram(group));
    return this.writers.flatMap((writer, i) =>
      writer
        .take()
        .map(packet6)
        .some(({ dst }) => dst === group)
        ? [i]
        : [],
    );
  }

  /** The links that are asked when link 0 sends to a group. */
  asked(): number[] {
    for (const writer of this.writers) writer.take();
    this.send(0, datagram('ff02::9'));
    return this.writers.flatMap((writer, i) =>
      writer
        .take()
        .map(packet6)
        .some(({ upper }) => upper[8] === QUERY)
        ? [i]
        : [],
    );
  }

  /** Link 1 has joined ff02::5, link 2 ff02::6, link 3 says nothing; it counts by now. */
  learned(): this {
    this.asked();
    this.report(1, ['ff02::5']).report(2, ['ff02::6']);
    this.s.advance(LEARNING_MS);
    return this;
  }
}

const stationOf = (link: number): { src: string; srcMac: number } => ({
  src: `fe80::${link + 2}`,
  srcMac: 0x5254_0000_0100 + 4 * link,
});

function datagram(dst: string): Uint8Array {
  const low = viewOf(Uint8Array.from(address6(dst))).getUint32(12);
  const ends = { ...stationOf(0), dst, dstMac: 0x3333_0000_0000 + low, hopLimit: 1 };
  return frame6(UDP, udp6(5353, 5353, [1, 2, 3], ends), ends);
}

describe('stack/ipv6 mld', () => {
  it('a frame to a group goes to who joined it, and to who never said', () => {
    const lab = new Lab(4).learned();
    assert.deepEqual(lab.reached('ff02::5'), [1, 3]);
    assert.deepEqual(lab.reached('ff02::6'), [2, 3]);
  });

  it('one to a group that nobody joined, or to all nodes, goes to all', () => {
    const lab = new Lab(4).learned();
    for (const group of ['ff02::7', 'ff02::1']) assert.deepEqual(lab.reached(group), [1, 2, 3]);
  });

  it('a station that hears alone is known, though it is the sender’s', () => {
    const lab = new Lab(3).learned().report(0, ['ff02::8']);
    assert.deepEqual(lab.reached('ff02::8'), []);
  });

  it('a group of another scope with the same Ethernet address is the same', () => {
    assert.deepEqual(new Lab(4).learned().reached('ff05::5'), [1, 3]);
  });

  it('a report counts from ten seconds after the first question', () => {
    const lab = new Lab(3);
    lab.report(1, ['ff02::5']).report(2, ['ff02::6']);
    assert.deepEqual(lab.reached('ff02::5'), [1, 2], 'not asked yet');
    lab.s.advance(LEARNING_MS - 1);
    assert.deepEqual(lab.reached('ff02::5'), [1, 2]);
    lab.s.advance(1);
    assert.deepEqual(lab.reached('ff02::5'), [1]);
  });

  it('to join is heard at once', () => {
    const lab = new Lab(3).learned().report(2, ['ff02::5']);
    assert.deepEqual(lab.reached('ff02::5'), [1, 2]);
  });

  it('to leave is not heard: another station of the link may stay', () => {
    assert.deepEqual(new Lab(3).learned().report(1, ['ff02::5'], 3).reached('ff02::5'), [1]);
  });

  it('a group that is missing from the answers to two questions is forgotten', () => {
    const lab = new Lab(3).learned().report(1, ['ff02::5', 'ff02::b']);
    for (let round = 0; round < 3; round++) {
      assert.deepEqual(lab.reached('ff02::5'), [1], `${round}`);
      lab.s.advance(INTERVAL_MS);
      lab.asked();
      lab.report(1, ['ff02::b']).report(2, ['ff02::6']);
    }
    assert.deepEqual(lab.reached('ff02::5'), [1, 2], 'nobody has it, as far as is known');
    assert.deepEqual(lab.reached('ff02::b'), [1]);
  });

  it('a link that has fallen silent is sent everything', () => {
    const lab = new Lab(3).learned();
    for (let round = 0; round < 3; round++) {
      lab.s.advance(INTERVAL_MS);
      lab.asked();
      lab.report(1, ['ff02::5']);
    }
    assert.deepEqual(lab.reached('ff02::5'), [1, 2]);
  });

  it('a link with more groups than there is room for is sent everything, and it is counted', () => {
    const lab = new Lab(3).learned();
    const many = Array.from({ length: MAX_JOINED_GROUPS }, (_, i) => `ff02::1:${i.toString(16)}`);
    for (let at = 0; at < many.length; at += 64) lab.report(2, many.slice(at, at + 64));
    assert.deepEqual(lab.reached('ff02::5'), [1, 2]);
    assert.equal(lab.s.drops()['mld-group-table-full'], 1);
  });

  it('links are asked with the first frame to a group, and then once in an interval', () => {
    const lab = new Lab(3);
    assert.deepEqual(lab.asked(), [1, 2]);
    lab.s.advance(INTERVAL_MS - 1);
    assert.deepEqual(lab.asked(), []);
    lab.s.advance(1);
    assert.deepEqual(lab.asked(), [1, 2]);
  });

  it('the question is one of version 2, from the router, with a router alert', () => {
    const lab = new Lab(2);
    lab.send(0, datagram('ff02::9'));
    const question = lab.writers[1]
      ?.take()
      .map(packet6)
      .find(({ protocol }) => protocol === 0);
    assert.ok(question);
    const { src, dst, dstMac, hopLimit, upper } = question;
    assert.deepEqual([src, dst, dstMac, hopLimit], [ROUTER6, 'ff02::1', '33:33:00:00:00:01', 1]);
    assert.deepEqual([...upper.subarray(0, 8)], [58, 0, 5, 2, 0, 0, 1, 0]);
    const message = [...upper.subarray(8)];
    assert.deepEqual([message.length, message[0], message[24], message[25]], [28, QUERY, 2, 125]);
    assert.deepEqual(message, summed(58, message, 2, { src, dst }));
  });

  it('a question that a full link does not take is counted', () => {
    const lab = new Lab(2);
    const [, writer] = lab.writers;
    assert.ok(writer);
    writer.full = true;
    lab.send(0, datagram('ff02::9'));
    assert.equal(lab.s.drops()['out-link-full'], 1);
  });

  it('a lone guest is asked nothing', () => {
    const s = script6().frames(datagram('ff02::9'));
    assert.deepEqual(s.writer.take(), []);
  });

  it('without IPv6 of ours nobody is asked, and every frame goes to all', () => {
    const lab = new Lab(3, false);
    assert.deepEqual(lab.asked(), []);
    lab.report(1, ['ff02::5']).s.advance(LEARNING_MS);
    assert.deepEqual(lab.reached('ff02::5'), [1, 2]);
  });

  it('a host of MLDv1 keeps others silent: every frame goes to all from then on', () => {
    const lab = new Lab(3).learned();
    const ends = { ...stationOf(2), dst: 'ff02::5', dstMac: 0x3333_0000_0005 };
    const message = [OLD_REPORT, 0, 0, 0, 0, 0, 0, 0, ...address6('ff02::5')];
    lab.send(2, icmp6Frame(message, { ...ends, hopLimit: 1, extensions: ALERT }));
    assert.deepEqual(lab.reached('ff02::6'), [1, 2]);
  });

  it('reports are taken in silence; one that is not whole is counted', () => {
    const lab = new Lab(1);
    lab.report(0, ['ff02::5']);
    assert.deepEqual(lab.s.drops(), {});
    const ends = { ...stationOf(0), dst: 'ff02::16', dstMac: 0x3333_0000_0016, hopLimit: 1 };
    lab.send(0, icmp6Frame([143, 0, 0, 0, 0, 0, 0, 1], { ...ends, extensions: ALERT }));
    assert.deepEqual(lab.s.drops(), { 'mld-bad-report': 1 });
    assert.deepEqual(lab.writers[0]?.take(), []);
  });
});
