import assert from 'node:assert/strict';
import {
  isSynthetic,
  KEPT_MS,
  SyntheticNames,
} from '../../../src/proxy/upstream-proxy/synthetic-names.ts';
import { testGuest } from '../../support/test-guest.ts';
import { ip } from '../recording.ts';

describe('proxy/upstream-proxy: addresses that stand for names', () => {
  it('are the same for a name each time, and another for another', () => {
    const names = new SyntheticNames();
    const guest = testGuest();
    const one = names.addressOf(0, guest, 'a.test');
    const two = names.addressOf(0, guest, 'b.test');
    assert.deepEqual([`${one}`, `${two}`], ['198.19.0.1', '198.19.0.2']);
    assert.equal(`${names.addressOf(5, guest, 'a.test')}`, `${one}`);
    assert.equal(names.nameAt(5, guest, ip('198.19.0.2')), 'b.test');
    assert.equal(names.nameAt(5, guest, ip('198.19.0.3')), undefined);
    assert.ok(isSynthetic(ip('198.19.0.2')) && !isSynthetic(ip('198.18.0.2')));
  });

  it("are a guest's own", () => {
    const names = new SyntheticNames();
    const [one, other] = [testGuest(), testGuest()];
    names.addressOf(0, one, 'a.test');
    assert.equal(names.nameAt(0, other, ip('198.19.0.1')), undefined);
    names.forget(one);
    assert.deepEqual([names.budget.held, names.nameAt(0, one, ip('198.19.0.1'))], [0, undefined]);
  });

  it('are kept for an hour after their last use, and are reused late', () => {
    const names = new SyntheticNames();
    const guest = testGuest();
    names.addressOf(0, guest, 'a.test');
    names.addressOf(0, guest, 'b.test');
    names.nameAt(KEPT_MS, guest, ip('198.19.0.1'));
    assert.equal(`${names.addressOf(KEPT_MS, guest, 'c.test')}`, '198.19.0.3');
    assert.equal(names.nameAt(KEPT_MS, guest, ip('198.19.0.2')), undefined);
    assert.equal(names.nameAt(KEPT_MS, guest, ip('198.19.0.1')), 'a.test');
  });

  it('are reused at the limit only when the range has come round, and never one that is in use', () => {
    const [limit, range] = [4, 0xfffe];
    const names = new SyntheticNames(limit);
    const guest = testGuest();
    const used = names.addressOf(0, guest, 'used.test');
    const seen = new Map<string, number>([[`${used}`, 0]]);
    for (let i = 1; i < range; i++) {
      const address = `${names.addressOf(i, guest, `n${i}.test`)}`;
      assert.ok(!seen.has(address), `${address} of name ${i}`);
      seen.set(address, i);
      assert.equal(names.nameAt(i, guest, ip('198.19.0.1')), 'used.test');
    }
    assert.equal(names.budget.held, limit);
    assert.equal(`${names.addressOf(range, guest, 'next.test')}`, '198.19.0.2');
    assert.ok(!seen.has('198.19.0.0') && !seen.has('198.19.255.255'));
  });

  it('are a budget: whoever has the most forgets its oldest', () => {
    const names = new SyntheticNames(4);
    const [many, few] = [testGuest(), testGuest()];
    for (const name of ['a', 'b', 'c', 'd']) names.addressOf(0, many, `${name}.test`);
    assert.ok(names.addressOf(0, few, 'x.test') !== undefined);
    assert.equal(names.nameAt(0, many, ip('198.19.0.1')), undefined);
    names.addressOf(0, many, 'e.test');
    assert.deepEqual([names.budget.held, names.nameAt(0, many, ip('198.19.0.2'))], [4, undefined]);
    assert.equal(names.nameAt(0, few, ip('198.19.0.1')), 'x.test');
  });
});
