/** A policy that changes while a guest opens connections as fast as it can. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { makeFileServer } from '../../src/lab/file-server.ts';
import { createNetwork } from '../../src/network/create-network.ts';
import { until } from '../proxy/recording.ts';
import { duplexPair, guestOnStream } from './attached-guest.ts';

const HOST = '192.168.127.254';
const CLIENTS = 8;
const CHANGES = 50;

describe('network: a policy that changes under load', () => {
  it('no flow is open, nor opens, that it denies; events agree with the book', async function () {
    this.timeout(60_000);
    const server = makeFileServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    const url = `http://${HOST}:${address.port}/bytes/20000?seed=1`;
    const network = await createNetwork();
    const [ours, theirs] = duplexPair();
    network.attach(ours);
    const { guest } = guestOnStream(theirs);
    await guest.lease();

    const open = new Set<string>();
    let [opened, ended, whole, denied, isOver] = [0, 0, 0, 0, false];
    network.on('flow', ({ kind, flow }) => {
      if (kind === 'opened') {
        assert.ok(!open.has(flow.id));
        open.add(flow.id);
        opened++;
      } else {
        assert.ok(open.delete(flow.id), 'each is opened before it ends, and ends once');
        ended++;
      }
    });
    const client = async (): Promise<void> => {
      while (!isOver) {
        const { bytes } = await guest.download(url, () => {}).catch(() => ({ bytes: 0 }));
        if (bytes === 20_000) whole++;
        else denied++;
      }
    };
    const clients = Array.from({ length: CLIENTS }, client);
    const openedTcp = (): number =>
      network.view.flowBook.counts().find(({ protocol }) => protocol === 'tcp')?.opened ?? -1;
    try {
      for (let n = 0; n < CHANGES; n++) {
        await until(() => whole > n);
        await network.view.policy.replace({ default: 'deny' });
        assert.deepEqual(network.view.flows(), [], 'in force when it is answered');
        const [before, deniedBefore] = [openedTcp(), denied];
        await until(() => denied >= deniedBefore + CLIENTS);
        assert.equal(openedTcp(), before);
        whole = n + 1;
        await network.view.policy.replace({ default: 'allow' });
      }
      await until(() => whole > CHANGES);
    } finally {
      isOver = true;
      await network.view.policy.replace({ default: 'allow' });
      await Promise.all(clients);
      await until(() => open.size === 0 && ended === openedTcp());
      assert.equal(opened, ended);
      await network.close();
      await guest.close();
      server.close();
    }
    assert.ok(opened > CHANGES * 2, `${opened} flows`);
  });
});
