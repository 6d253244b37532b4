import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNetwork } from '../../src/network/create-network.ts';

describe('SSH forwards of a network', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-ssh-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  it('the library is loaded for the first client: what is no key ends it', async () => {
    const [key, path] = [join(dir, 'key'), join(dir, 'host.sock')];
    writeFileSync(key, '-----BEGIN OPENSSH PRIVATE KEY-----\nnothing\n');
    const publish = `unix:${path}:ssh-tunnel://core@192.168.127.2/run/x.sock?key=${key}`;
    await using network = await createNetwork({ publish });
    const [port] = network.view.ports();
    assert.deepEqual(
      [port?.via, port?.guestAddress, port?.guestPort, port?.guestPath],
      ['ssh', '192.168.127.2', 22, '/run/x.sock'],
    );
    const client = connect(path);
    client.resume();
    await new Promise((resolve) => client.once('close', resolve));
    assert.deepEqual(network.view.counters()['ssh'], { served: 1, 'client-key': 1 });
  });

  it('a key that is not there is no network', async () => {
    const publish = `unix:${dir}/host.sock:ssh-tunnel://core@192.168.127.2/x?key=${dir}/none`;
    await assert.rejects(createNetwork({ publish }), { code: 'ERR_HAWSER_PUBLISH_KEY' });
  });
});
