import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Deadline } from '../../src/native/deadline.ts';
import { collectGarbage } from '../support/collect-garbage.ts';

describe('native/deadline', () => {
  const never = new AbortController().signal;

  it('aborts when its time is up, whatever is collected as garbage meanwhile', async () => {
    const { signal } = new Deadline(200, never);
    const collector = setInterval(collectGarbage, 10);
    try {
      await once(signal, 'abort');
    } finally {
      clearInterval(collector);
    }
    assert.equal(signal.reason.name, 'TimeoutError');
  });

  it('aborts with the other signal, for its reason', () => {
    const other = new AbortController();
    const { signal } = new Deadline(60_000, other.signal);
    assert.equal(signal.aborted, false);
    other.abort('left');
    assert.equal(signal.reason, 'left');
  });

  it('is aborted already with another that is', () =>
    assert.equal(new Deadline(60_000, AbortSignal.abort('left')).signal.reason, 'left'));

  it('does not abort any more once it has ended', () => {
    const other = new AbortController();
    const deadline = new Deadline(0, other.signal);
    deadline.end();
    other.abort();
    assert.equal(deadline.signal.aborted, false);
  });
});
