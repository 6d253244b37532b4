import { strict as assert } from 'node:assert';
import { Budget } from '../../../src/base/shares/budget.ts';
import { DialerSockets, type SocketHolder } from '../../../src/proxy/agent/dialer-sockets.ts';

class Holder implements SocketHolder {
  chainNext: SocketHolder | undefined = undefined;
  chainPrev: SocketHolder | undefined = undefined;
  activitySeen = 0;
  activity = 0;
  evicted = false;
  private readonly sockets: DialerSockets;

  constructor(sockets: DialerSockets) {
    this.sockets = sockets;
  }

  evict(): void {
    this.evicted = true;
    this.sockets.delete(this);
  }
}

function added(sockets: DialerSockets): Holder {
  const holder = new Holder(sockets);
  sockets.add(holder);
  return holder;
}

describe('proxy/agent/dialer-sockets', () => {
  it('the link that has the most gives one up, the one longest unused', () => {
    const budget = new Budget('sockets', 8);
    const [one, two] = [new DialerSockets('one', budget), new DialerSockets('two', budget)];
    const holders: Holder[] = [];
    while (one.take()) holders.push(added(one));
    assert.equal(holders.length, 8);
    const [first] = holders;
    assert.ok(first);
    first.activity = 1;
    let got = 0;
    while (two.take()) {
      added(two);
      got++;
    }
    assert.equal(got, 4);
    assert.deepEqual(
      holders.map(({ evicted }) => evicted),
      [false, true, true, true, true, false, false, false],
    );
  });

  it('what is replaced is counted once, and all go at the end', () => {
    const budget = new Budget('sockets', 8);
    const sockets = new DialerSockets('one', budget);
    assert.ok(sockets.take());
    const dial = added(sockets);
    const splice = new Holder(sockets);
    sockets.replace(dial, splice);
    assert.equal(budget.held, 1);
    sockets.close();
    assert.ok(splice.evicted && !dial.evicted);
    assert.equal(budget.held, 0);
  });

  it('without a budget there is no limit of its own', () => {
    const sockets = new DialerSockets('agent', undefined);
    for (let i = 0; i < 10_000; i++) assert.ok(sockets.take());
  });
});
