import assert from 'node:assert/strict';
import { REDIRECTS_MAX, Redirects } from '../../../src/proxy/udp/redirects.ts';
import { ip } from '../recording.ts';

describe('proxy/udp/redirects', () => {
  const asked = { remote: ip('192.0.2.1'), port: 53 };

  it('a peer stands for what was asked for last, until it stands for itself', () => {
    const redirects = new Redirects();
    redirects.set('127.0.0.1', 1, asked);
    redirects.set('127.0.0.1', 1, { ...asked, port: 54 });
    assert.equal(redirects.find('127.0.0.1', 1)?.port, 54);
    assert.equal(redirects.find('127.0.0.1', 2), undefined);
    redirects.set('127.0.0.1', 1, undefined);
    assert.equal(redirects.find('127.0.0.1', 1), undefined);
  });

  it('so many and no more: the first is forgotten', () => {
    const redirects = new Redirects();
    for (let port = 1; port <= REDIRECTS_MAX + 1; port++) redirects.set('::1', port, asked);
    assert.equal(redirects.find('::1', 1), undefined);
    assert.ok(redirects.find('::1', 2));
    assert.ok(redirects.find('::1', REDIRECTS_MAX + 1));
  });
});
