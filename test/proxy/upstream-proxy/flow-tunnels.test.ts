import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HostStream } from '../../../src/native/stream/host-stream.ts';
import {
  type FlowTunnel,
  FlowTunnels,
  TUNNELS_MAX,
} from '../../../src/proxy/upstream-proxy/flow-tunnels.ts';
import { parsePrefix } from '../../../src/services/address-text.ts';
import { ip } from '../recording.ts';

function tunnel(to: string, port: number, path: string): FlowTunnel {
  const prefix = parsePrefix(to);
  assert.ok(prefix);
  return { to: prefix, port, path };
}

const answer = (json: string): Buffer =>
  Buffer.concat([Buffer.of(json.length, 0), Buffer.from(json)]);

describe('proxy/upstream-proxy: connections that lead through Unix sockets', () => {
  it('are those to the networks and ports, by the first that fits', () => {
    const { used, left } = FlowTunnels.of(
      [tunnel('10.0.0.0/8', 443, '/a'), tunnel('10.0.0.0/8', 0, '/b'), tunnel('fd00::/8', 0, '/c')],
      {},
    );
    assert.deepEqual(left, []);
    const isThrough = (address: string, port: number): boolean =>
      used?.viaTo(ip(address), port) !== undefined;
    assert.equal(isThrough('10.1.2.3', 443), true);
    assert.equal(isThrough('10.1.2.3', 80), true);
    assert.equal(isThrough('11.1.2.3', 80), false);
    assert.equal(isThrough('fd12::1', 80), true);
    assert.equal(isThrough('2001:db8::1', 80), false);
  });

  it('are none without a network', () => {
    assert.equal(FlowTunnels.of([], {}).used, undefined);
  });

  it(`hold ${TUNNELS_MAX} networks`, () => {
    const many = Array.from({ length: TUNNELS_MAX + 1 }, (_, i) =>
      tunnel('10.0.0.0/8', i + 1, '/a'),
    );
    const { used, left } = FlowTunnels.of(many, {});
    assert.equal(left.length, 1);
    assert.ok(used?.viaTo(ip('10.0.0.1'), TUNNELS_MAX));
    assert.equal(used?.viaTo(ip('10.0.0.1'), TUNNELS_MAX + 1), undefined);
  });

  describe('with a server', () => {
    let directory: string;
    let server: Server;
    let asked: Promise<Socket>;
    beforeEach(async () => {
      directory = mkdtempSync(join(tmpdir(), 'tunnels-'));
      server = createServer();
      asked = once(server, 'connection').then(([socket]) => socket);
      server.listen(join(directory, 'server.sock'));
      await once(server, 'listening');
    });
    afterEach(async () => {
      server.close();
      rmSync(directory, { recursive: true });
    });

    const dial = (path: string): Promise<HostStream | string> =>
      new Promise((resolve) => {
        const { used } = FlowTunnels.of([tunnel('10.0.0.0/8', 0, join(directory, path))], {});
        used?.viaTo(ip('10.1.2.3'), 22)?.connect({
          onConnected: (stream) => resolve(stream),
          onConnectFailed: (code) => resolve(code),
        });
      });

    it('hands on the stream once the server has accepted', async () => {
      const dialled = dial('server.sock');
      const socket = await asked;
      const [bytes] = await once(socket, 'data');
      const request = JSON.parse(bytes.subarray(2).toString());
      assert.deepEqual([request.dst_ip, request.dst_port], ['10.1.2.3', 22]);
      socket.write(answer('{"accepted":true}'));
      const stream = await dialled;
      assert.ok(typeof stream !== 'string');
      stream.reset();
      socket.destroy();
    });

    it('is refused where the server does not accept', async () => {
      const dialled = dial('server.sock');
      const socket = await asked;
      socket.on('error', () => {});
      socket.write(answer('{"accepted":false}'));
      assert.equal(await dialled, 'ECONNREFUSED');
      socket.destroy();
    });

    it('fails where there is no server', async () => {
      assert.equal(await dial('nobody.sock'), 'EHOSTUNREACH');
    });
  });
});
