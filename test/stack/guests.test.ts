/** Records of guests: who is behind a link, and who it was before. */
import { strict as assert } from 'node:assert';
import { type Account, Budget } from '../../src/base/shares/budget.ts';
import type { Guest } from '../../src/stack/guest.ts';
import { GuestTable } from '../../src/stack/guest-table.ts';
import type { Mac } from '../../src/wire/mac.ts';
import { GUEST_MAC } from '../support/frames.ts';
import { lend } from '../support/lend.ts';
import { PLAIN, RecordingWriter, Script } from '../support/script.ts';

const A = 0x0200_0000_0001 as Mac;
const B = 0x0200_0000_0002 as Mac;

let nextMs = 0;

function arrive(table: GuestTable, listener: string, mac: Mac): { guest: Guest } {
  const guest = table.attach(nextMs, listener);
  nextMs += 1000;
  assert.ok(guest);
  const port = { guest };
  table.hear(port, mac);
  return port;
}

describe('stack/guests', () => {
  it('a guest that comes back with its Ethernet address is the same guest', () => {
    const table = new GuestTable(0);
    const first = arrive(table, 'qemu:/a', A);
    const { guest } = first;
    table.hear(first, B);
    table.detach(5, guest);
    assert.equal(guest.goneAt, 5);
    const again = arrive(table, 'qemu:/a', B);
    assert.equal(again.guest, guest);
    assert.equal(guest.goneAt, Number.POSITIVE_INFINITY);
    assert.deepEqual([...table], [guest]);
  });

  it('another with the address while its link is up is another guest', () => {
    const table = new GuestTable(0);
    const one = arrive(table, 'qemu:/a', A);
    const two = arrive(table, 'qemu:/a', A);
    assert.notEqual(one.guest, two.guest);
  });

  it('a link that said nothing leaves no record, and those away are bounded', () => {
    const table = new GuestTable(0);
    const silent = table.attach(0, 'qemu:/a');
    assert.ok(silent);
    table.detach(1, silent);
    assert.deepEqual([...table], []);
    for (let i = 0; i < 5000; i++) {
      const { guest } = arrive(table, 'qemu:/a', (0x0200_0000_0000 + i) as Mac);
      table.detach(i, guest);
    }
    assert.equal([...table].length, 1024);
    const back = arrive(table, 'qemu:/a', (0x0200_0000_0000 + 4999) as Mac);
    assert.equal(back.guest.id, 5001);
    const lost = arrive(table, 'qemu:/a', 0x0200_0000_0000 as Mac);
    assert.equal(lost.guest.id, 5003);
  });

  it('the links of one listener are bounded in number and rate, and of another are not', () => {
    const table = new GuestTable(0);
    const attached = (listener: string, now: number): boolean =>
      table.attach(now, listener, 1000) !== undefined;
    for (let i = 0; i < 50; i++) assert.ok(attached('qemu:/a', 0));
    assert.ok(!attached('qemu:/a', 999));
    assert.ok(attached('qemu:/b', 999));
    for (let now = 1000; now < 10_000; now += 50) attached('qemu:/a', now);
    assert.equal([...table].length, 128 + 1);
  });

  it('listeners without links are forgotten, so that there is always room for another', () => {
    const table = new GuestTable(0);
    for (let i = 0; i < 3000; i++) {
      const guest = table.attach(i, `qemu:/${i}`, i % 7);
      assert.ok(guest);
      table.detach(i, guest);
    }
    assert.deepEqual([...table], []);
  });

  it('a listener whose links come too fast is refused more, and that is counted', () => {
    const s = new Script();
    const attach = (): unknown => s.stack.attach(s.now, 'qemu:/a#1', new RecordingWriter());
    for (let i = 0; i < 50; i++) assert.ok(attach());
    assert.equal(attach(), undefined);
    assert.equal(s.drops()['link-listener-full'], 1);
  });

  it('shares are of users first, then of their listeners, then of links', () => {
    const table = new GuestTable(0);
    const budget = new Budget('sockets', 120);
    const share = (listener: string, uid: number): Account => {
      const guest = table.attach(0, listener, uid);
      assert.ok(guest);
      const account: Account = guest.owner.share(budget, {
        evict: () => {
          account.give();
          return true;
        },
      });
      return account;
    };
    const many = Array.from({ length: 20 }, () => share('qemu:/a', 1000));
    const one = share('qemu:/b', 1000);
    const other = share('qemu:/a', 1001);
    for (let round = 0; round < 200; round++) for (const a of [...many, one, other]) a.take();
    const held = many.reduce((sum, account) => sum + account.held, 0);
    for (const [got, wanted] of [
      [held, 30],
      [one.held, 30],
      [other.held, 60],
    ] as const) {
      assert.ok(Math.abs(got - wanted) <= wanted / 8, `${got} of ${wanted}`);
    }
  });

  it('a guest keeps its flows and its debts over a re-attach', () => {
    const s = new Script({ tcp: { maxConnections: 100 } });
    for (let sport = 1; sport <= 10; sport++) s.in({ flags: 'S', ...PLAIN, sport });
    const [guest] = s.stack.guests;
    assert.ok(guest !== undefined);
    assert.ok(guest.hasMac(GUEST_MAC));
    const { owner } = guest;
    const held = (): number | undefined =>
      owner.holdings().find(({ budget }) => budget === 'connections')?.held;
    assert.equal(held(), 10);
    s.reader.onLinkDown(s.now);
    const again = s.stack.attach(s.now, 'script', new RecordingWriter());
    assert.ok(again);
    assert.equal(held(), 10);
    lend(again, s.now, s.segment({ flags: 'S', ...PLAIN, sport: 11 }));
    again.onBatchEnd(s.now);
    assert.equal(held(), 11);
    assert.deepEqual([...s.stack.guests], [guest]);
  });

  it('one that goes while it holds much is waited for half as long', () => {
    for (const [connections, endsMs] of [
      [6, 60_000],
      [7, 30_000],
    ] as const) {
      const s = new Script({ tcp: { maxConnections: 100, linkDownGraceMs: 60_000 } });
      for (let sport = 1; sport <= connections; sport++) s.in({ flags: 'S', ...PLAIN, sport });
      s.reader.onLinkDown(s.now);
      s.advance(endsMs - 1);
      assert.equal(s.stack.tcp.connectionCount, connections);
      s.advance(1);
      assert.equal(s.stack.tcp.connectionCount, 0);
    }
  });
});
