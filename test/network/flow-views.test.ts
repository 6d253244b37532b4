import assert from 'node:assert/strict';
import { ipv4 } from '../../src/base/ip-address.ts';
import { FLOW_ROUTES } from '../../src/control/flow-routes.ts';
import { flowsSchema } from '../../src/control/schema.ts';
import { FlowViews } from '../../src/network/flow-views.ts';
import { FlowBook } from '../../src/proxy/flows/flow-book.ts';
import type { Lease } from '../../src/services/dhcp/lease.ts';
import { GUEST, TestClock } from '../proxy/recording.ts';
import { testGuest } from '../support/test-guest.ts';

const FLOWS = 30_000;
const LEASE: Lease = {
  ...{ address: `${GUEST}`, mac: '52:54:00:00:00:01', hostname: 'build' },
  ...{ expiresAtMs: 0, static: false, state: 'bound' },
};

describe('network/flow-views', () => {
  const clock = new TestClock();
  const book = new FlowBook(clock);
  const flowBook = new FlowViews({ book, clock, leases: () => [LEASE] });
  const owner = testGuest();
  const [listing] = FLOW_ROUTES;

  before(() => {
    for (let n = 0; n < FLOWS; n++) {
      const remote = { address: ipv4(n), port: 443 };
      book.add('udp', owner, undefined, {
        describeFlow: () => ({
          ...{ guest: { address: GUEST, port: n }, remote, openedBy: 'guest', via: 'net' },
          ...{ state: 'active', bytesToHost: 1, bytesToGuest: 2, lastAt: 900 },
        }),
        endFlow: () => {},
      });
    }
  });

  /** @returns the answer, and how many turns of the loop others had until it was whole */
  const list = async (query: Readonly<Record<string, string>>) => {
    const call = {
      id: '',
      query: new Map(Object.entries(query)),
      body: undefined,
      ifMatch: undefined,
    };
    const connection = { staysOpen: false, hold: () => {} };
    const answer = await listing?.handle({ ...call, connection }, { view: { flowBook } });
    assert.ok(answer !== undefined && typeof answer.body === 'function');
    let turns = 0;
    let isOver = false;
    const tick = (): void => {
      turns++;
      if (!isOver) setImmediate(tick);
    };
    setImmediate(tick);
    let text = '';
    let longest = 0;
    for await (const part of answer.body(new AbortController().signal)) {
      text += part;
      longest = Math.max(longest, part.length);
    }
    isOver = true;
    return { ...flowsSchema().parse(JSON.parse(text)), turns, longest };
  };

  it('thirty thousand flows are written in small parts, with turns in between', async () => {
    const { flows, total, next, turns, longest } = await list({ limit: '100000' });
    assert.deepEqual([flows.length, total, next], [FLOWS, FLOWS, null]);
    assert.ok(turns > 10, `${turns}`);
    assert.ok(longest < 100_000, `${longest}`);
    const [first] = flows;
    assert.equal(first?.guestName, 'build');
    assert.equal(first?.guestId, owner.id);
    assert.equal(first?.idleMs, 0, 'never longer than its age');
  });

  it('page by page they are the same, each once, and the total is known without a look at all', async () => {
    const ids: string[] = [];
    let after: string | null = '0';
    while (after !== null) {
      const page = await list({ limit: '7000', after });
      assert.equal(page.total, FLOWS - ids.length);
      ids.push(...page.flows.map(({ id }) => id));
      after = page.next;
    }
    assert.deepEqual(
      ids,
      Array.from({ length: FLOWS }, (_, n) => String(n + 1)),
    );
  });

  it('a filter is looked at in parts too', async () => {
    const { flows, total, turns } = await list({ port: '29999', protocol: 'udp' });
    assert.deepEqual([flows.length, total], [1, 1]);
    assert.ok(turns > 10, `${turns}`);
  });
});
