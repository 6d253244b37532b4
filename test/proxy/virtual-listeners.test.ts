import assert from 'node:assert/strict';
import type { TcpService } from '../../src/proxy/virtual-listeners.ts';
import { VirtualListeners } from '../../src/proxy/virtual-listeners.ts';
import { GATEWAY, HOST } from './recording.ts';

const service = (): TcpService => () => {};

describe('proxy/virtual-listeners', () => {
  it('a port is served once at an address', () => {
    const listeners = new VirtualListeners();
    listeners.serve([GATEWAY], 80, service());
    assert.throws(() => listeners.serve([HOST, GATEWAY], 80, service()), { code: 'EADDRINUSE' });
    listeners.serve([HOST], 80, service());
  });

  it('a service that stands in for another gives the port back', () => {
    const listeners = new VirtualListeners();
    const [own, other] = [service(), service()];
    listeners.serve([GATEWAY], 53, own);
    const close = listeners.replace([GATEWAY], 53, other);
    assert.equal(listeners.find(GATEWAY, 53), other);
    close();
    close();
    assert.equal(listeners.find(GATEWAY, 53), own);
  });

  it('there is a limit', () => {
    const listeners = new VirtualListeners();
    for (let port = 1; port <= 1024; port++) listeners.serve([GATEWAY], port, service());
    assert.throws(() => listeners.serve([GATEWAY], 2000, service()), { code: 'ERR_HAWSER_LIMIT' });
    assert.throws(() => listeners.replace([GATEWAY], 1, service()), { code: 'ERR_HAWSER_LIMIT' });
  });
});
