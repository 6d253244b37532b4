import assert from 'node:assert/strict';
import { type Attempt, Denials } from '../../../src/proxy/policy/denials.ts';
import { testGuest } from '../../support/test-guest.ts';
import { ip } from '../recording.ts';

const attempt = (more: Partial<Attempt> & Pick<Attempt, 'owner'>): Attempt => ({
  ...{ protocol: 'tcp', name: undefined, address: ip('192.0.2.1'), port: 443 },
  ...{ place: 'outside', why: 'default: deny', isStated: false, isObserved: false, ...more },
});

describe('proxy/policy/denials', () => {
  it('one entry for each guest, destination and reason: how often, when first and last', () => {
    const denials = new Denials();
    const [owner, other] = [testGuest(), testGuest()];
    for (const now of [1, 2, 5]) denials.add(now, attempt({ owner }));
    denials.add(3, attempt({ owner, port: 80 }));
    denials.add(4, attempt({ owner, why: 'deny 192.0.2.0/24' }));
    denials.add(6, attempt({ owner: other }));
    assert.deepEqual(
      denials.list().map(({ id, count, first, last }) => [id, count, first, last]),
      [
        [2, 1, 3, 3],
        [3, 1, 4, 4],
        [1, 3, 1, 5],
        [4, 1, 6, 6],
      ],
    );
    assert.equal(denials.list(other).length, 1);
    assert.equal(denials.find(3)?.attempt.why, 'deny 192.0.2.0/24');
    assert.equal(denials.find(9), undefined);
  });

  it('a name whose addresses change is one', () => {
    const denials = new Denials();
    const owner = testGuest();
    for (const text of ['192.0.2.1', '192.0.2.2']) {
      denials.add(0, attempt({ owner, name: 'a.test', address: ip(text) }));
    }
    const [only, more] = denials.list();
    assert.equal(only?.count, 2);
    assert.equal(`${only?.attempt.address}`, '192.0.2.2');
    assert.equal(more, undefined);
  });

  it('bounded: who tries everything forgets what it tried first, and nothing of the others', () => {
    const denials = new Denials(10);
    const [busy, quiet] = [testGuest(), testGuest()];
    denials.add(0, attempt({ owner: quiet }));
    for (let port = 1; port <= 1_000; port++) denials.add(port, attempt({ owner: busy, port }));
    assert.equal(denials.budget.held, 10);
    assert.equal(denials.list(quiet).length, 1);
    assert.deepEqual(
      denials.list(busy).map(({ attempt: { port } }) => port),
      [992, 993, 994, 995, 996, 997, 998, 999, 1_000],
    );
    denials.forget(busy);
    assert.equal(denials.budget.held, 1);
  });
});
