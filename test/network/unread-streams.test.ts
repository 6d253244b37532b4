import assert from 'node:assert/strict';
import { once } from 'node:events';
import { UNREAD_MAX, UnreadStreams } from '../../src/network/unread-streams.ts';
import { NO_FLUSH } from '../../src/proxy/flush-scheduler.ts';
import { ByteDuplex } from '../../src/proxy/stream/byte-duplex.ts';

import { OWNER, TestClock } from '../proxy/recording.ts';
import { testGuest } from '../support/test-guest.ts';

const OVER = 44;

describe('network: connections that are over and not read', () => {
  const stream = (): ByteDuplex => new ByteDuplex({ clock: new TestClock(), flusher: NO_FLUSH });
  const another = testGuest();

  it('of each guest the last are kept, and the others are counted', () => {
    const kept = new UnreadStreams();
    const others = stream();
    kept.add(another, others);
    const streams = Array.from({ length: UNREAD_MAX + OVER }, stream);
    for (const one of streams) kept.add(OWNER, one);
    assert.deepEqual(
      streams.map(({ destroyed }) => destroyed),
      streams.map((_, i) => i < OVER),
    );
    assert.equal(others.destroyed, false);
    assert.deepEqual(kept.counts.snapshot(), { 'unread-closed': OVER });
  });

  it('those that close make room', async () => {
    const kept = new UnreadStreams();
    for (let i = 0; i < 2 * UNREAD_MAX; i++) {
      const one = stream();
      kept.add(OWNER, one);
      one.destroy();
      await once(one, 'close');
    }
    assert.deepEqual(kept.counts.snapshot(), {});
  });
});
