import assert from 'node:assert/strict';
import { slabOver } from '../../../src/base/slab.ts';
import { NO_TARGET } from '../../../src/proxy/udp/host-target.ts';
import { SendPool, type SendSlot } from '../../../src/proxy/udp/send-pool.ts';

describe('proxy/udp/send-pool', () => {
  it('refuses above its limit, and lends again what was given back', () => {
    const pool = new SendPool(3 * 4096);
    const slots = [1, 2, 3].map(() => pool.take(4096, NO_TARGET));
    assert.ok(slots.every((slot) => slot !== undefined));
    assert.equal(pool.take(1, NO_TARGET), undefined);
    const [first] = slots;
    assert.ok(first);
    pool.give(first);
    assert.equal(pool.take(1, NO_TARGET), first);
  });

  it('lends room for the largest datagram', () => {
    const slot: SendSlot | undefined = new SendPool().take(65_507, NO_TARGET);
    assert.ok(slot && slot.bytes.length >= 65_507);
  });

  it('copies out of whichever slab it is given', () => {
    const pool = new SendPool();
    const slot = pool.take(4, NO_TARGET);
    assert.ok(slot);
    slot.fill(0, slabOver(Uint8Array.of(0, 1, 2)), 1, 2);
    const outer = Uint8Array.of(9, 9, 3, 4);
    slot.fill(2, slabOver(outer.subarray(2)), 0, 2);
    assert.deepEqual([...slot.bytes.subarray(0, 4)], [1, 2, 3, 4]);
  });

  it('an owner may have as much as is free beside it, so that there is room for one more', () => {
    const pool = new SendPool(12 * 4096);
    const fill = (owner: { queuedBytes: number }): number => {
      for (let n = 0; ; n++) if (pool.take(1, NO_TARGET, owner) === undefined) return n;
    };
    const [one, two, three] = [{ queuedBytes: 0 }, { queuedBytes: 0 }, { queuedBytes: 0 }];
    assert.deepEqual([fill(one), fill(two), fill(three)], [6, 3, 2]);
  });

  it('takes off its owner what is given back', () => {
    const pool = new SendPool();
    const owner = { queuedBytes: 0 };
    const slots = [100, 60_000].map((len) => pool.take(len, NO_TARGET, owner) ?? assert.fail());
    assert.equal(owner.queuedBytes, 4096 + 65_536);
    for (const slot of slots) pool.give(slot);
    assert.deepEqual([owner.queuedBytes, pool.lentBytes], [0, 0]);
  });
});
