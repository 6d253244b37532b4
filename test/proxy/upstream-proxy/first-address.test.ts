import assert from 'node:assert/strict';
import {
  type AttemptOwner,
  FirstAddress,
} from '../../../src/proxy/upstream-proxy/first-address.ts';

describe('proxy/upstream-proxy: the first address that answers', () => {
  let tried: Map<string, AttemptOwner<string>>;
  let cancelled: string[];
  let outcome: string[];
  beforeEach(() => {
    [tried, cancelled, outcome] = [new Map(), [], []];
  });
  const dial = (addresses: readonly string[], besideMs = 60_000): FirstAddress<string> =>
    new FirstAddress<string>(
      addresses,
      (address, owner) => {
        tried.set(address, owner);
        return { cancel: () => cancelled.push(address) };
      },
      {
        onConnected: (made) => outcome.push(made),
        onConnectFailed: (code) => outcome.push(code),
      },
      besideMs,
    );
  const nextTry = async (n: number): Promise<void> => {
    while (tried.size < n) await new Promise((resolve) => setTimeout(resolve, 1));
  };

  it('is the best one, and no other is tried', () => {
    dial(['a', 'b']);
    tried.get('a')?.onConnected('stream of a');
    assert.deepEqual([[...tried.keys()], outcome, cancelled], [['a'], ['stream of a'], []]);
  });

  it('is the next one at once where one fails', () => {
    dial(['a', 'b']);
    tried.get('a')?.onConnectFailed('ENETUNREACH');
    tried.get('b')?.onConnected('stream of b');
    assert.deepEqual([outcome, cancelled], [['stream of b'], []]);
  });

  it('is looked for beside one that is silent, which may still win', async () => {
    dial(['a', 'b', 'c'], 1);
    await nextTry(3);
    tried.get('b')?.onConnectFailed('ECONNREFUSED');
    assert.deepEqual(outcome, []);
    tried.get('a')?.onConnected('stream of a');
    assert.deepEqual([outcome, cancelled], [['stream of a'], ['c']]);
  });

  it('is none where all have failed: the last code counts', async () => {
    dial(['a', 'b'], 1);
    await nextTry(2);
    tried.get('b')?.onConnectFailed('ECONNREFUSED');
    tried.get('a')?.onConnectFailed('ETIMEDOUT');
    assert.deepEqual([outcome, cancelled], [['ETIMEDOUT'], []]);
  });

  it('is one of the first eight', () => {
    dial(Array.from({ length: 20 }, (_, i) => `${i}`));
    for (let i = 0; i < 20; i++) tried.get(`${i}`)?.onConnectFailed('ECONNREFUSED');
    assert.deepEqual([tried.size, outcome], [8, ['ECONNREFUSED']]);
  });

  it('is not looked for any more once it is given up', async () => {
    const both = dial(['a', 'b', 'c'], 1);
    await nextTry(2);
    both.cancel();
    assert.deepEqual([cancelled, outcome], [['a', 'b'], []]);
  });
});
