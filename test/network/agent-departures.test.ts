import assert from 'node:assert/strict';
import { AgentDepartures } from '../../src/network/agent-departures.ts';
import { VirtualTimers } from '../support/virtual-timers.ts';

const GRACE_MS = 60_000;

describe('network/agent-departures', () => {
  let timers: VirtualTimers;
  let gone: string[];
  let departures: AgentDepartures;
  beforeEach(() => {
    timers = new VirtualTimers();
    gone = [];
    departures = new AgentDepartures(GRACE_MS, (link) => gone.push(link), timers);
    for (const link of ['one', 'two']) departures.onUp(link);
  });

  it('a link is without agents once the grace is over, and not before', async () => {
    departures.onDown('one');
    await timers.advance(GRACE_MS - 1);
    assert.deepEqual(gone, []);
    await timers.advance(1);
    assert.deepEqual(gone, ['one']);
    await timers.advance(2 * GRACE_MS);
    assert.deepEqual(gone, ['one'], 'once');
  });

  it('not one whose agent is back in time; the next time has a grace of its own', async () => {
    departures.onDown('one');
    await timers.advance(GRACE_MS - 1);
    departures.onUp('one');
    departures.onDown('one');
    await timers.advance(GRACE_MS - 1);
    assert.deepEqual(gone, []);
    await timers.advance(1);
    assert.deepEqual(gone, ['one']);
  });

  it('nobody is told after the end', async () => {
    departures.onDown('two');
    departures.close();
    await timers.advance(GRACE_MS);
    assert.deepEqual(gone, []);
  });
});
