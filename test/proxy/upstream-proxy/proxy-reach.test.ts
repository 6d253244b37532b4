import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, Socket } from 'node:net';
import { HostLookup } from '../../../src/proxy/host-lookup.ts';
import { ProxyDial, type ProxyDialDeps } from '../../../src/proxy/upstream-proxy/proxy-dial.ts';
import { ProxyReach } from '../../../src/proxy/upstream-proxy/proxy-reach.ts';
import { openSocket } from '../../../src/proxy/upstream-proxy/tunnel-socket.ts';
import { openHandshake } from '../../../src/services/upstream-proxy/open-handshake.ts';
import type { ProxyServer } from '../../../src/services/upstream-proxy/proxy-server.ts';
import { RecordingLog } from '../../support/recording-log.ts';

const TARGET = { host: 'a.test', port: 443 };

/** @returns whether there was a connection, which is closed */
type Try = (deps: ProxyDialDeps, proxy: ProxyServer) => Promise<boolean>;

const byDial: Try = (deps, proxy) =>
  new Promise((resolve) => {
    void new ProxyDial(deps, proxy, openHandshake(proxy, TARGET), {
      onConnected: (stream) => {
        stream.reset();
        resolve(true);
      },
      onConnectFailed: () => resolve(false),
    });
  });

const bySocket: Try = (deps, proxy) =>
  new Promise((resolve) => {
    openSocket(deps, proxy, openHandshake(proxy, TARGET), (result) => {
      if (result instanceof Socket) result.destroy();
      resolve(result instanceof Socket);
    });
  });

describe('proxy/upstream-proxy/proxy-reach', () => {
  let server: Server;
  let log: RecordingLog;
  let reach: ProxyReach;
  let status: number;
  beforeEach(async () => {
    status = 200;
    log = new RecordingLog();
    reach = new ProxyReach(log);
    server = createServer((socket) => {
      socket.on('error', () => {}).once('data', () => socket.write(`HTTP/1.1 ${status} X\r\n\r\n`));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterEach(() => server.close());

  for (const [way, attempt] of [
    ['a dial', byDial],
    ['a socket', bySocket],
  ] as const) {
    it(`is told once, shown, and over when the proxy is there again: ${way}`, async () => {
      const { port } = server.address() as AddressInfo;
      const proxy: ProxyServer = { scheme: 'http', host: 'p.test', port, credentials: undefined };
      const names = new HostLookup();
      const deps = { names, options: {}, reach };
      let found: readonly string[] | string = ['127.0.0.77'];
      names.resolve = (_host, onResolved) => onResolved(found);

      for (let n = 0; n < 3; n++) assert.equal(await attempt(deps, proxy), false);
      assert.match(reach.problem ?? '', /http:\/\/p\.test:\d+ cannot be reached \(ECONNREFUSED\)/);
      found = 'ENOTFOUND';
      assert.equal(await attempt(deps, proxy), false);
      assert.match(reach.problem ?? '', /ENOTFOUND/);
      assert.equal(log.lines.length, 1);

      found = ['127.0.0.1'];
      status = 403; // a refusal is an answer
      assert.equal(await attempt(deps, proxy), false);
      assert.equal(reach.problem, undefined);
      status = 200;
      assert.equal(await attempt(deps, proxy), true);
      assert.deepEqual(
        log.lines.map(({ level }) => level),
        ['warn', 'info'],
      );
    });
  }

  it('is nothing of a destination without a proxy, and nothing of those before', async () => {
    const { port } = server.address() as AddressInfo;
    const names = new HostLookup();
    const place = { host: '127.0.0.77', port };
    await new Promise((resolve) => {
      openSocket({ names, options: {}, reach }, place, undefined, resolve);
    });
    assert.equal(reach.problem, undefined);
    reach.missed({ scheme: 'http', credentials: undefined, ...place }, 'ETIMEDOUT');
    reach.clear();
    assert.equal(reach.problem, undefined);
  });
});
