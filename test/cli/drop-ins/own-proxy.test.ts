import assert from 'node:assert/strict';
import { ownProxy } from '../../../src/cli/drop-ins/own-proxy.ts';

describe("cli/drop-ins: upstream proxies of the launcher's environment", () => {
  it('are options of hawser run, lists by spaces', () => {
    assert.deepEqual(ownProxy({}), { options: {}, words: {} });
    assert.deepEqual(
      ownProxy({
        HAWSER_UPSTREAM_PROXY: ' http=http://p.test:1  https=http://q.test:2 ',
        HAWSER_PROXY_EXCLUDE: '10.0.0.0/8,.corp.test',
        HAWSER_PROXY_AUTH_FILE: '/secret',
      }),
      {
        options: {
          upstreamProxy: ['http=http://p.test:1', 'https=http://q.test:2'],
          proxyExclude: ['10.0.0.0/8,.corp.test'],
          proxyAuthFile: '/secret',
        },
        words: {
          upstreamProxy: [
            'HAWSER_UPSTREAM_PROXY=http=http://p.test:1',
            'HAWSER_UPSTREAM_PROXY=https=http://q.test:2',
          ],
          proxyExclude: ['HAWSER_PROXY_EXCLUDE=10.0.0.0/8,.corp.test'],
          proxyAuthFile: 'HAWSER_PROXY_AUTH_FILE=/secret',
        },
      },
    );
  });
});
