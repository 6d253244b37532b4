import { strict as assert } from 'node:assert';
import { seededRandom } from '../../../src/base/random.ts';
import { type Account, Budget } from '../../../src/base/shares/budget.ts';
import { Owner } from '../../../src/base/shares/owner.ts';

interface Holder {
  readonly account: Account;
  evictions: number;
}

/** An account that gives one back when it must. */
function holderOf(owner: Owner, budget: Budget, recycles = false): Holder {
  const holder: { account: Account; evictions: number } = {
    account: owner.share(budget, {
      recycles,
      evict: () => {
        holder.evictions++;
        holder.account.give();
        return true;
      },
    }),
    evictions: 0,
  };
  return holder;
}

function take(account: Account, n: number): number {
  let got = 0;
  for (let i = 0; i < n; i++) if (account.take()) got++;
  return got;
}

describe('base/shares/budget', () => {
  it('lends all that is not kept to whoever asks', () => {
    const budget = new Budget('sockets', 100, 10);
    const a = holderOf(new Owner('a'), budget);
    assert.equal(take(a.account, 200), 90);
    assert.equal(a.account.refused, 110);
  });

  it('the host takes what is kept, and beyond from the heaviest guest', () => {
    const budget = new Budget('sockets', 100, 10);
    const a = holderOf(new Owner('a'), budget);
    take(a.account, 90);
    const { host } = budget;
    assert.equal(take(host, 10), 10);
    assert.equal(a.evictions, 0);
    assert.equal(take(host, 5), 5);
    assert.equal(a.account.held, 85);
    assert.equal(take(a.account, 1), 0);
  });

  it('when short, takes from the one that holds the most until both hold the same', () => {
    const budget = new Budget('sockets', 100);
    const a = holderOf(new Owner('a'), budget);
    const b = holderOf(new Owner('b'), budget);
    take(a.account, 100);
    assert.equal(take(b.account, 100), 50);
    assert.equal(a.account.held, 50);
    assert.equal(a.account.evicted, 50);
    assert.equal(take(a.account, 10), 0);
    assert.equal(b.evictions, 0);
  });

  it('nobody below the fair share gives way', () => {
    const random = seededRandom(3);
    const budget = new Budget('sockets', 90);
    const holders = ['a', 'b', 'c'].map((name) => holderOf(new Owner(name), budget));
    const [good, ...rest] = holders;
    assert.ok(good);
    assert.equal(take(good.account, 30), 30);
    for (let i = 0; i < 10_000; i++) rest[(random.next32() & 1) % rest.length]?.account.take();
    assert.equal(good.evictions, 0);
    assert.equal(good.account.held, 30);
    assert.equal(budget.held, 90);
  });

  it('more links of one listener get no more than one of another', () => {
    const budget = new Budget('sockets', 100);
    const many = new Owner('listener 1');
    const links = Array.from({ length: 20 }, (_, i) => holderOf(new Owner(`${i}`, many), budget));
    for (let i = 0; i < 2000; i++) links[i % 20]?.account.take();
    const other = holderOf(new Owner('guest', new Owner('listener 2')), budget);
    assert.equal(take(other.account, 100), 50);
    assert.equal(many.account(budget).held, 50);
  });

  it('within a guest, the protocol that holds the most gives way to another', () => {
    const budget = new Budget('sockets', 10);
    const guest = new Owner('guest');
    const tcp = holderOf(guest, budget);
    const udp = holderOf(guest, budget);
    take(tcp.account, 10);
    assert.equal(take(udp.account, 10), 5);
    assert.equal(tcp.evictions, 5);
  });

  it('an account that recycles makes room by its own oldest', () => {
    const budget = new Budget('bindings', 10);
    const a = holderOf(new Owner('a'), budget, true);
    assert.equal(take(a.account, 25), 25);
    assert.equal(a.account.held, 10);
    assert.equal(a.evictions, 15);
  });

  it('one that cannot give back is not asked for ever', () => {
    const budget = new Budget('sockets', 10);
    let asked = 0;
    const stuck = new Owner('stuck').share(budget, {
      evict: () => {
        asked++;
        return false;
      },
    });
    take(stuck, 10);
    const b = holderOf(new Owner('b'), budget);
    assert.equal(b.account.take(), false);
    assert.equal(asked, 1);
    assert.equal(b.account.refused, 1);
  });

  it('one that cannot give back shields nobody', () => {
    const budget = new Budget('sockets', 100);
    const guest = new Owner('guest');
    let canGive = false;
    const stuck: Account = guest.share(budget, {
      evict: () => {
        if (canGive) stuck.give();
        return canGive;
      },
    });
    const other = holderOf(guest, budget);
    take(stuck, 60);
    take(other.account, 40);
    const good = holderOf(new Owner('good'), budget);
    assert.equal(take(good.account, 20), 20);
    assert.equal(other.account.held, 20);
    canGive = true;
    stuck.give();
    assert.equal(take(good.account, 21), 21);
    assert.equal(stuck.held, 39, 'what it holds has changed: it is asked again');
    assert.equal(other.account.held, 20);
  });

  it('holds of bytes: a large request takes from the heaviest as often as it needs', () => {
    const budget = new Budget('bytes', 1 << 20);
    const owner = new Owner('hog');
    const hog: Account = owner.share(budget, {
      evict: () => {
        hog.give(4096);
        return true;
      },
    });
    for (let i = 0; i < 256; i++) assert.ok(hog.take(4096));
    const good = new Owner('good').share(budget, {});
    assert.ok(good.take(65_536));
    assert.equal(hog.held, (1 << 20) - 65_536);
  });

  it('shows what an owner holds, was refused and gave', () => {
    const budget = new Budget('sockets', 4);
    const owner = new Owner('a');
    const a = holderOf(owner, budget);
    take(a.account, 5);
    assert.deepEqual(owner.holdings(), [{ budget: 'sockets', held: 4, refused: 1, evicted: 0 }]);
    assert.ok(owner.holds);
    a.account.give(4);
    assert.ok(!owner.holds);
  });
});
