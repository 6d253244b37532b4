/** Much at once in one process: more than there are threads, or calls of the system that may run. */
import assert from 'node:assert/strict';
import { createNetwork } from '../../src/network/create-network.ts';

const CROWD = 300;

describe('network: a crowd', () => {
  it('networks that begin in one turn, each with a published UDP port, all begin and end', async () => {
    const options = { publish: ['127.0.0.1:0:53/udp'] };
    const networks = await Promise.all(Array.from({ length: CROWD }, () => createNetwork(options)));
    for (const network of networks) assert.equal(network.view.ports().length, 1);
    await Promise.all(networks.map((network) => network.close()));
  });

  it('UDP ports that are published in one turn are all served', async () => {
    const network = await createNetwork();
    const ports = await Promise.all(
      Array.from({ length: CROWD }, (_, i) => network.publish(`127.0.0.1:0:${i + 1}/udp`)),
    );
    assert.equal(new Set(ports.flat().map(({ hostPort }) => hostPort)).size, CROWD);
    await network.close();
  });
});
