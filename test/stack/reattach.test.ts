/** A guest that leaves and comes back on another link keeps its connections. */
import assert from 'node:assert/strict';
import type { IpAddress } from '../../src/base/ip-address.ts';
import { NeighborTable } from '../../src/stack/neighbor.ts';
import { formatMac } from '../../src/wire/mac.ts';
import { family, overBothFamilies } from '../support/family.ts';
import { GATEWAY_MAC, GUEST_IP, GUEST_MAC } from '../support/frames.ts';
import { frameOver } from '../support/lend.ts';
import { announcement, established, PLAIN, RecordingWriter, Script } from '../support/script.ts';
import { testGuest } from '../support/test-guest.ts';

/** Attach the guest of `script` by a new link. */
function reattach(script: Script): RecordingWriter {
  const writer = new RecordingWriter();
  const reader = script.stack.attach(script.now, 'again', writer);
  assert.ok(reader !== undefined);
  reader.onFrame(script.now, frameOver(announcement()));
  reader.onBatchEnd(script.now);
  writer.take();
  return writer;
}

overBothFamilies('stack/reattach', () => {
  it('sends what was due at once, whatever the back-off had come to', () => {
    const script = established();
    script.reader.onLinkDown(script.now);
    script.send(100);
    script.advance(20_000);
    const writer = reattach(script);
    script.advance(16);
    assert.equal(writer.take().length, 1);
    assert.deepEqual(script.app.events, []);
  });

  it('ends the connections of a guest that stays away for longer than the grace', () => {
    const script = established({ tcp: { linkDownGraceMs: 5000 } });
    script.reader.onLinkDown(script.now);
    script.send(100);
    script.advance(30_000);
    assert.deepEqual(script.app.events, ['closed:link-down']);
    assert.equal(script.stack.tcp.connectionCount, 0);
    assert.equal(script.stack.tcp.pool.inUse, 0);
  });

  it('ends those with nothing to say as well, and says that the guest is gone', () => {
    const script = established({ tcp: { linkDownGraceMs: 5000 } });
    const heard = `${family().address(GUEST_IP)} is ${formatMac(GUEST_MAC)}`;
    assert.deepEqual(script.guests, [heard]);
    script.reader.onLinkDown(script.now);
    script.advance(4999);
    assert.deepEqual(script.app.events, []);
    script.advance(1);
    assert.deepEqual(script.app.events, ['closed:link-down']);
    const address = `${family().address(GUEST_IP)}`;
    assert.deepEqual(script.guests, [heard, `${address} is gone`, 'guest 1 is gone']);
    assert.equal(script.stack.nextTimeout(), Number.POSITIVE_INFINITY);
  });

  it('a guest that is back within the grace is not gone, and neither is its address', () => {
    const script = established({ tcp: { linkDownGraceMs: 5000 } });
    script.reader.onLinkDown(script.now);
    reattach(script);
    script.advance(10_000);
    assert.ok(script.guests.every((line) => !line.endsWith('gone')));
  });

  it('an address that gives its place to another while its guest is away is gone before the grace is over', () => {
    const gone: string[] = [];
    const table = new NeighborTable(GATEWAY_MAC, 1, testGuest());
    table.onGivenUp = ({ address }) => gone.push(`${address}`);
    const [port] = new Script().stack.links;
    assert.ok(port !== undefined);
    const at = (word: number): IpAddress => family().address(word);
    for (const word of [GUEST_IP, GUEST_IP + 1]) {
      const neighbor = table.obtain(0, at(word)) ?? assert.fail();
      table.learn(0, neighbor, GUEST_MAC, port);
    }
    table.forget(at(GUEST_IP));
    assert.deepEqual(gone, [], 'its link is there');
    table.detach(1, port);
    table.forget(at(GUEST_IP + 1));
    assert.deepEqual(gone, [`${at(GUEST_IP + 1)}`]);
  });

  it('ends thousands in parts when there is no time, and the last of them before the guest is gone', () => {
    let hasTime = true;
    const script = new Script({
      tcp: { linkDownGraceMs: 5000 },
      events: { afterWork: () => {}, onLinkCount: () => {}, hasTime: () => hasTime },
    });
    script.policy = 'keep';
    for (let port = 2000; port < 2100; port++) script.in({ flags: 'S', ...PLAIN, sport: port });
    assert.equal(script.stack.tcp.requestCount, 100);
    hasTime = false;
    script.reader.onLinkDown(script.now);
    let before = 100;
    script.now += 5000;
    while (before > 0) {
      script.stack.onTimeout(script.now);
      const left: number = script.stack.tcp.requestCount;
      assert.ok(left < before && before - left <= 16, `${before} -> ${left}`);
      assert.equal(script.guests.length === 3, left === 0); // heard, the address gone, the guest gone
      before = left;
    }
    assert.equal(script.stack.nextTimeout(), Number.POSITIVE_INFINITY);
  });

  it('cancels what the guest asked for and was not answered', () => {
    const script = new Script({ tcp: { linkDownGraceMs: 5000 } });
    script.policy = 'keep';
    script.in({ flags: 'S', ...PLAIN });
    script.reader.onLinkDown(script.now);
    script.advance(5000);
    assert.equal(script.cancelled, 1);
  });

  it('within the grace keeps idle connections, whatever time passes afterwards', () => {
    const script = established({ tcp: { linkDownGraceMs: 5000 } });
    script.reader.onLinkDown(script.now);
    script.advance(4999);
    reattach(script);
    script.advance(100_000);
    assert.deepEqual(script.app.events, []);
    assert.equal(script.stack.tcp.connectionCount, 1);
  });

  it('a guest whose link is gone is not dialled, and is again when it is back', () => {
    const script = new Script().announce();
    script.reader.onLinkDown(script.now);
    assert.equal(script.dial(), undefined);
    assert.equal(script.drops()['dial-guest-away'], 1);
    reattach(script);
    assert.ok(script.dial());
  });

  it('a guest known by its lease only is not dialled without a link', () => {
    const script = new Script();
    script.reader.onLinkDown(script.now);
    script.stack.expectGuest(script.now, family().address(GUEST_IP));
    assert.equal(script.dial(), undefined);
    const writer = new RecordingWriter();
    script.stack.attach(script.now, 'of another', writer);
    assert.equal(writer.take().length, 1); // ARP asks for it
    script.advance(1000);
    assert.ok(script.dial(), 'it may have its address by now');
  });

  it('a dial while the link of another comes up is over when ARP is unanswered', () => {
    const script = new Script().announce();
    script.reader.onLinkDown(script.now);
    script.stack.attach(script.now, 'of another', new RecordingWriter());
    assert.ok(script.dial());
    script.advance(4000);
    assert.deepEqual(script.app.events, ['closed:unreachable']);
  });
});
