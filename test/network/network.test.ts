/** The whole network in one process, with a simulated guest in it: no root, no namespace. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import inspector from 'node:inspector';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ipv4 } from '../../src/base/ip-address.ts';
import { LINES } from '../../src/base/limited-log.ts';
import { type Log, SILENT } from '../../src/base/log.ts';
import { startFileServer } from '../../src/lab/file-server.ts';
import type { GuestAcceptor } from '../../src/lab/guest/embedded-guest.ts';
import { SimulatedGuest } from '../../src/lab/guest/simulated-guest.ts';
import { seededSha256 } from '../../src/lab/seeded-stream.ts';
import type { NetworkConfig } from '../../src/network/config.ts';
import type { DaemonNetwork } from '../../src/network/daemon-network.ts';
import { openNetwork } from '../../src/network/network.ts';
import type { Network } from '../../src/network/network-interface.ts';
import { optionsIn } from '../cli/fake-network.ts';

const HOST = '192.168.127.254';
const SIZE = 1024 * 1024 + 17;

const isAcceptor = (network: object): network is GuestAcceptor => 'attachSegment' in network;

describe('network/network', () => {
  let dir: string;
  let network: (Network & DaemonNetwork) | undefined;
  let guest: SimulatedGuest;
  let server: Server;

  /** A network with a guest that has its lease. */
  const start = async (
    more: Partial<NetworkConfig> = {},
    log: Log = SILENT,
  ): Promise<Network & DaemonNetwork> => {
    const made = await openNetwork(optionsIn(dir, { listen: ['qemu:127.0.0.1:0'], ...more }), log);
    network = made;
    assert.ok(isAcceptor(made));
    guest.attach(made);
    return made;
  };
  const portOf = (made: Network): number =>
    Number(made.view.info().links[0]?.link.split(':').at(-1));
  const refusals = (made: Network): number =>
    made.view.counters()['refusals']?.['tcp-own-listener'] ?? 0;
  const get = (host: string, port: number): Promise<unknown> =>
    guest.download(`http://${host}:${port}/bytes/10?seed=1`, () => {});

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
    guest = new SimulatedGuest();
    server = await startFileServer('127.0.0.1', 0);
  });
  afterEach(async () => {
    await network?.close();
    network = undefined;
    await guest.close();
    server.closeAllConnections();
    server.close();
    rmSync(dir, { recursive: true });
  });
  const serverPort = (): number => {
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  };

  for (const mtu of [576, 1_500, 65_520]) {
    it(`at MTU ${mtu} a simulated guest gets its lease, a name, pings and whole transfers`, async () => {
      await start({ mtu });
      const lease = await guest.lease();
      assert.deepEqual(
        { ...lease, client: '' },
        {
          address: '192.168.127.2',
          prefixLen: 24,
          router: '192.168.127.1',
          dns: '192.168.127.1',
          mtu,
          client: '',
        },
      );
      assert.equal(await guest.resolve('host.hawser.internal'), HOST);
      for (const address of ['192.168.127.1', HOST]) assert.ok((await guest.ping(address)) >= 0);
      const sum = seededSha256(7, SIZE);
      const seen: number[] = [];
      const down = await guest.download(
        `http://${HOST}:${serverPort()}/bytes/${SIZE}?seed=7`,
        (bytes) => seen.push(bytes),
      );
      assert.deepEqual([down.bytes, down.sha256], [SIZE, sum]);
      const up = await guest.upload(`http://${HOST}:${serverPort()}/sink`, 7, SIZE, () => {});
      assert.deepEqual([up.bytes, up.sha256], [SIZE, sum]);
      for (const bytes of seen) assert.ok(bytes <= SIZE);
    });
  }

  it('a refused connection, a wrong path and a name that there is not fail with their reason', async () => {
    await start();
    await assert.rejects(guest.resolve('x.hawser.internal'), /no lease/);
    await guest.lease();
    assert.equal(await guest.resolve('x.hawser.internal'), '');
    await assert.rejects(
      guest.download(`http://${HOST}:${serverPort()}/no`, () => {}),
      /404/,
    );
    await assert.rejects(get('198.51.100.1', 80), /only its own network/);
    const port = serverPort();
    server.close();
    server.closeAllConnections();
    await assert.rejects(get(HOST, port), /refused|reset/);
  });

  it('closing the guest ends what it waits for', async () => {
    const silent = createServer(() => {});
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const address = silent.address();
    assert.ok(typeof address === 'object' && address !== null);
    await start();
    await guest.lease();
    const waiting = assert.rejects(get(HOST, address.port), /closed/);
    await guest.close();
    await waiting;
    silent.closeAllConnections();
    silent.close();
  });

  it("a guest does not reach hawser's own listeners: not the link, not the API", async () => {
    const made = await start();
    await guest.lease();
    await get(HOST, serverPort()); // what is not ours it reaches
    await assert.rejects(get(HOST, portOf(made)));
    made.denyGuests('127.0.0.1', serverPort());
    await assert.rejects(get(HOST, serverPort()));
    assert.equal(refusals(made), 2);
  });

  it('nor one that listens on every address of the host', async () => {
    const made = await start({ listen: ['qemu:0.0.0.0:0'] });
    await guest.lease();
    await assert.rejects(get(HOST, portOf(made)));
    assert.equal(refusals(made), 1);
  });

  it("nor, where the process is hawser's own, whatever else listens in it: a debugger", async () => {
    const made = await start({ publish: ['127.0.0.1:0:192.168.127.2:80'] });
    made.denyProcess([serverPort()]);
    await guest.lease();
    inspector.open(0, '127.0.0.1');
    try {
      const port = Number(new URL(inspector.url() ?? '').port);
      await assert.rejects(get(HOST, port));
      assert.equal(refusals(made), 1);
    } finally {
      inspector.close();
    }
    await get(HOST, serverPort()); // it is offered
    await assert.rejects(get(HOST, Number(made.view.ports()[0]?.hostPort))); // as the guest serves nothing there
    assert.equal(refusals(made), 1);
  });

  it('what guests cause is logged so many times only', async () => {
    let lines = 0;
    const info = (_: object, text: string): void => {
      if (text === 'guest link up') lines++;
    };
    const made = await start({}, { ...SILENT, info });
    const links = Array.from({ length: LINES * 2 }, () => connect(portOf(made), '127.0.0.1'));
    try {
      while (Number(made.view.info().links[0]?.attachedGuests) < links.length) {
        await new Promise(setImmediate);
      }
      assert.equal(lines, LINES);
    } finally {
      for (const link of links) link.destroy();
    }
  });

  it('a client that connects after the guest is dialled, though both are accepted in one turn', async () => {
    const path = join(dir, 'guest.sock');
    const publish = ['127.0.0.1:0:192.168.127.2:80'];
    const made = await openNetwork(optionsIn(dir, { listen: [`qemu:${path}`], publish }), SILENT);
    network = made;
    const link = connect(path);
    const client = connect(Number(made.view.ports()[0]?.hostPort), '127.0.0.1');
    const failed = once(client, 'close').then(() => assert.fail('the client is closed'));
    client.on('error', () => {});
    const dialled = async (): Promise<void> => {
      while (made.view.flows().length === 0) await new Promise(setImmediate);
    };
    try {
      await Promise.race([dialled(), failed]);
    } finally {
      failed.catch(() => {});
      client.destroy();
      link.destroy();
    }
  });

  it('a port of that number published elsewhere does not offer it', async () => {
    const made = await start();
    made.denyProcess([]);
    await guest.lease();
    inspector.open(0, '127.0.0.1');
    try {
      const port = Number(new URL(inspector.url() ?? '').port);
      await made.publish(`127.0.0.2:${port}:192.168.127.2:80`);
      await assert.rejects(get(HOST, port));
      assert.equal(refusals(made), 1);
      await assert.rejects(
        made.ports.publish(
          {
            protocol: 'tcp',
            hostAddress: ipv4(0x7f00_0003),
            hostPort: port,
            guestAddress: undefined,
            guestPort: 80,
          },
          { guest: ipv4(0xc0a8_7f02 | 0) },
        ),
        { code: 'ERR_HAWSER_PUBLISH_FORBIDDEN' },
      );
    } finally {
      inspector.close();
    }
  });

  it('a published port is not one of them', async () => {
    const made = await start({ publish: ['0:192.168.127.2:80'] });
    await guest.lease();
    const published = Number(made.view.ports()[0]?.hostPort);
    assert.equal(made.view.ports()[0]?.owner, 'config');
    assert.ok(published > 0);
    await assert.rejects(get(HOST, published)); // the guest itself serves nothing at port 80
    assert.equal(refusals(made), 0);
  });
});
