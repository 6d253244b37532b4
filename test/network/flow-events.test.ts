import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DnsQueryView } from '../../src/control/events/network-events.ts';
import type { BlockEvent, FlowEvent } from '../../src/control/flow-view.ts';
import { makeFileServer } from '../../src/lab/file-server.ts';
import type { SimulatedGuest } from '../../src/lab/guest/simulated-guest.ts';
import { createNetwork } from '../../src/network/create-network.ts';
import type { Network } from '../../src/network/network-interface.ts';
import { until } from '../proxy/recording.ts';
import { duplexPair, guestOnStream } from './attached-guest.ts';

const GATEWAY = '192.168.127.1';
const HOST = '192.168.127.254';

describe('network: events of flows', () => {
  let network: Network;
  let guest: SimulatedGuest;

  beforeEach(async () => {
    network = await createNetwork();
    const [ours, theirs] = duplexPair();
    network.attach(ours, { name: 'pair' });
    ({ guest } = guestOnStream(theirs));
    await guest.lease();
    await guest.ping(GATEWAY);
  });
  afterEach(async () => {
    await network.close();
    await guest.close();
  });

  it('a connection of the guest: opened, ended, with what it carried', async () => {
    const server = makeFileServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    const events: FlowEvent[] = [];
    network.on('flow', (event) => events.push(event));
    try {
      await guest.download(`http://${HOST}:${address.port}/bytes/1000?seed=1`, () => {});
      await until(() => events.length === 2);
    } finally {
      server.close();
    }
    const [opened, ended] = events;
    assert.deepEqual(
      [opened?.kind, opened?.flow.state, opened?.why],
      ['opened', 'connecting', null],
    );
    assert.deepEqual([ended?.kind, ended?.why], ['ended', 'finished']);
    assert.equal(ended?.flow.id, opened?.flow.id);
    assert.equal(ended?.flow.remotePort, address.port);
    assert.ok((ended?.flow.bytesToGuest ?? 0) > 20);
    assert.deepEqual(network.view.flows(), []);
  });

  it('a query, on wish: who asked for what, and the answer', async () => {
    const queries: DnsQueryView[] = [];
    network.on('dns', ({ query }) => queries.push(query));
    await guest.resolve('host.containers.internal');
    const [query] = queries;
    assert.deepEqual(
      [query?.name, query?.type, query?.rcode, query?.addresses],
      ['host.containers.internal', 'A', 'NOERROR', [HOST]],
    );
    assert.ok((query?.guestId ?? 0) > 0);
  });

  it('a verdict, on wish: what a policy that observes would deny, of flows and of names', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
    const policy = join(dir, 'policy.yaml');
    writeFileSync(policy, 'default: deny\nmode: observe\n');
    const observing = await createNetwork({ policy });
    const [ours, theirs] = duplexPair();
    const { guest: observed } = guestOnStream(theirs);
    const seen = new Set<string>();
    try {
      observing.attach(ours, { name: 'pair' });
      observing.on('verdict', ({ kind, verdict: { protocol, name, place, rule } }) => {
        seen.add(`${kind} ${protocol} ${name} ${place} ${rule}`);
      });
      await observed.lease();
      void observed.resolve('evil.test').catch(() => {});
      await assert.rejects(observed.download(`http://${HOST}:1/`, () => {}));
      await until(() => seen.size === 2);
      assert.deepEqual([...seen].sort(), [
        'observed dns evil.test null default: deny',
        'observed tcp null host default: deny',
      ]);
    } finally {
      await observing.close();
      await observed.close();
      rmSync(dir, { recursive: true });
    }
  });

  it('a connection that the program dials, and ends by its id', async () => {
    const ends: (string | null)[] = [];
    network.on('flow', ({ kind, why }) => {
      if (kind === 'ended') ends.push(why);
    });
    const connection = await network.dial({ port: await guest.serve() });
    const [flow] = network.view.flows();
    assert.deepEqual(
      [flow?.openedBy, flow?.service, flow?.remoteAddress],
      ['host', 'program', GATEWAY],
    );
    const failed = once(connection, 'error');
    assert.ok(network.view.closeFlow(flow?.id ?? ''));
    const [error] = await failed;
    assert.equal(error.code, 'ECONNRESET');
    await until(() => ends.length === 1);
    assert.deepEqual(ends, ['ended-by-request']);
    assert.equal(network.view.closeFlow(flow?.id ?? ''), false);
  });

  it('what the guest may not reach is a block, counted for it; nothing comes after off', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
    const tokenFile = join(dir, 'token');
    writeFileSync(tokenFile, '0123456789abcdef', { mode: 0o600 });
    const api = await network.serveApi({ address: 'tcp:127.0.0.1:0', tokenFile });
    const port = Number(api.where.split(':').at(-1));
    const url = `http://${HOST}:${port}/`;
    const blocks: BlockEvent[] = [];
    const listener = (event: BlockEvent): void => {
      blocks.push(event);
    };
    try {
      network.on('block', listener);
      await assert.rejects(guest.download(url, () => {}));
      await until(() => blocks.length > 0);
      const [first] = blocks;
      assert.deepEqual(
        [first?.block.remoteAddress, first?.block.remotePort, first?.block.why],
        [HOST, port, 'own-listener'],
      );
      const [shown] = network.view.guests();
      assert.equal(shown?.id, first?.block.guestId);
      assert.equal(shown?.blocked['tcp-own-listener'], blocks.length);
      network.off('block', listener);
      const before = blocks.length;
      await assert.rejects(guest.download(url, () => {}));
      await new Promise((resolve) => setImmediate(resolve));
      assert.equal(blocks.length, before);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});
