import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import type { Answer } from '../../../src/control/route.ts';
import { waitPort } from '../../../src/control/usernet/wait-port.ts';
import { collectGarbage } from '../../support/collect-garbage.ts';

const HERE = new AbortController().signal;

describe('wait_port', () => {
  const bad: readonly [string, string][] = [
    ['', 'invalid ip address: '],
    ['ip=guest&port=22', 'invalid ip address: guest'],
    ['ip=192.168.104.1', 'strconv.ParseUint: parsing "": invalid syntax'],
    ['ip=192.168.104.1&port=-1', 'strconv.ParseUint: parsing "-1": invalid syntax'],
    ['ip=192.168.104.1&port=65536', 'strconv.ParseUint: parsing "65536": value out of range'],
    ['ip=192.168.104.1&port=22&timeout=x', 'strconv.ParseUint: parsing "x": invalid syntax'],
  ];
  for (const [query, text] of bad) {
    it(`?${query} -> 400`, async () => {
      const dial = (): never => assert.fail('it was dialled');
      const { status, body } = await waitPort(new URLSearchParams(query), dial, HERE);
      assert.deepEqual([status, body], [400, `${text}\n`]);
    });
  }

  const ask = (query: string, failures: number, gone: AbortSignal = HERE): Promise<Answer> => {
    let attempts = 0;
    const dial = (guest: string, port: number): Promise<PassThrough> => {
      assert.deepEqual([guest, port], ['192.168.104.1', 22]);
      attempts++;
      if (attempts <= failures) return Promise.reject(new Error('refused'));
      return Promise.resolve(new PassThrough());
    };
    return waitPort(new URLSearchParams(`ip=192.168.104.1&port=22${query}`), dial, gone, 1);
  };

  it('answers when the port accepts', async () => {
    for (const failures of [0, 5]) {
      const { status, body } = await ask('', failures);
      assert.deepEqual([status, body], [200, '']);
    }
  });

  it('answers 408 when it does not', async () => {
    const { status, body } = await ask('&timeout=0', 1e9);
    assert.equal(status, 408);
    assert.equal(body, 'timed out waiting for port to become available on 192.168.104.1:22\n');
  });

  it('answers in time, whatever is collected as garbage meanwhile', async () => {
    const collector = setInterval(collectGarbage, 20);
    try {
      assert.equal((await ask('&timeout=1', 1e9)).status, 408);
    } finally {
      clearInterval(collector);
    }
  });

  it('waits for no client that has left', async () => {
    assert.equal((await ask('&timeout=600', 1e9, AbortSignal.abort())).status, 408);
  });
});
