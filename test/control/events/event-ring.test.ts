import assert from 'node:assert/strict';
import { EventRing, plainJson } from '../../../src/control/events/event-ring.ts';
import type { StreamEvent } from '../../../src/control/events/network-events.ts';
import { TCP_FLOW } from '../../cli/fake-network.ts';

const LIMIT = 8;
const NONE = 'e-0';

describe('control/events/event-ring', () => {
  let ring: EventRing;
  const open = (n: number): void => {
    ring.add('flow', { kind: 'opened', flow: { ...TCP_FLOW, id: `${n}` }, why: null });
  };
  const shown = (event: StreamEvent): string =>
    event.type === 'gap' ? `gap ${event.why} ${event.events}` : event.id;
  const rest = (lastId: string | undefined): string[] =>
    ring
      .read(lastId)
      .next(100)
      .map(({ event }) => shown(event));

  beforeEach(() => {
    ring = new EventRing('e', () => 0, LIMIT);
  });

  it('a reader goes on behind the id that it has', () => {
    for (let n = 1; n <= 4; n++) open(n);
    assert.deepEqual(rest('e-2'), ['e-3', 'e-4']);
    assert.deepEqual(rest('e-4'), []);
    assert.deepEqual(rest(undefined), []);
  });

  it('what the ring does not hold is a gap, with how many', () => {
    for (let n = 1; n <= 12; n++) open(n);
    const [gap, ...others] = rest('e-2');
    assert.equal(gap, 'gap overrun 2');
    assert.equal(others.length, LIMIT);
    assert.equal(others.at(-1), 'e-12');
    assert.equal([...ring.kept()].length, LIMIT);
  });

  it('those that are kept are told behind an id too, with what is missing', () => {
    const kept = (id: string): readonly string[] => ring.kept(id).map(({ event }) => shown(event));
    for (let n = 1; n <= 4; n++) open(n);
    assert.deepEqual(kept('e-2'), ['e-3', 'e-4']);
    assert.deepEqual(kept('e-4'), []);
    for (let n = 5; n <= 12; n++) open(n);
    assert.deepEqual(kept('e-2').slice(0, 2), ['gap overrun 2', 'e-5']);
    assert.equal(kept('e-2').length, LIMIT + 1);
    const [restarted, ...all] = kept('other-12');
    assert.match(restarted ?? '', /^gap restarted/);
    assert.equal(all.length, LIMIT);
  });

  it('after a gap its id leads to the first event behind it, without another gap', () => {
    for (let n = 1; n <= 12; n++) open(n);
    const [gap] = ring.read('e-2').next(1);
    assert.equal(gap?.event.id, 'e-4');
    assert.equal(rest('e-4')[0], 'e-5');
  });

  it('a reader that is open and slow has a gap too', () => {
    open(1);
    const reader = ring.read(NONE);
    for (let n = 2; n <= 20; n++) open(n);
    assert.deepEqual(
      reader.next(2).map(({ event }) => shown(event)),
      ['gap overrun 12', 'e-13'],
    );
  });

  for (const id of ['other-3', 'e-99', 'nonsense', '', 'e--1', '\u001b[31m']) {
    it(`an id that this ring has not given is a gap: ${plainJson(id)}`, () => {
      open(1);
      assert.deepEqual(rest(id), ['gap restarted null']);
    });
  }

  it('where events were not made for a while there is a gap of unknown size', () => {
    open(1);
    ring.begin();
    open(2);
    assert.deepEqual(rest('e-1'), ['gap idle null', 'e-3']);
    assert.deepEqual(rest('e-2'), ['e-3']);
  });

  it('frequent ones can be forgotten, and are not read then', () => {
    open(1);
    ring.thin((type) => type !== 'flow');
    assert.deepEqual(rest(NONE), []);
  });

  it('a reader is called once for the next event, and not after it has closed', () => {
    const reader = ring.read(undefined);
    let calls = 0;
    reader.whenMore(() => calls++);
    open(1);
    open(2);
    assert.equal(calls, 1);
    assert.equal(reader.next(5).length, 2);
    reader.whenMore(() => calls++);
    reader.close();
    open(3);
    assert.equal(calls, 1);
  });

  it('JSON is ASCII, without markup, and the same when it is read', () => {
    const value = { name: '<script>\u001b\u009b\u2028é😀' };
    const json = plainJson(value);
    assert.match(json, /^[\x20-\x7e]+$/);
    assert.doesNotMatch(json, /[<>&]/);
    assert.deepEqual(JSON.parse(json), value);
  });
});
