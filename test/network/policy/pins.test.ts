/** A name's addresses are granted before the guest has the answer. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ServedGuest } from '../served-guest.ts';

const NAMES = 10_000;

describe('network/policy: names and the connections right behind them', () => {
  it(`of ${NAMES} connections, each begun by the answer to its name, all are allowed`, async function () {
    this.timeout(120_000);
    const dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
    const policy = join(dir, 'policy.yaml');
    writeFileSync(policy, "{default: deny, rules: [{allow: {name: '*.w.test', port: 443}}]}");
    const served = new ServedGuest();
    const allowed = new Set<string>();
    let asked = 0;
    try {
      const guest = await served.start({
        policy,
        onDns: () => [`198.18.${asked >> 8}.${asked & 255}`],
        onFlow: ({ remoteAddress, name }) => {
          allowed.add(`${name} ${remoteAddress}`);
          return 'deny';
        },
      });
      for (; asked < NAMES; asked++) {
        const address = await guest.resolve(`n${asked}.w.test`);
        await assert.rejects(guest.text(`http://${address}:443/`));
      }
    } finally {
      await served.close();
      rmSync(dir, { recursive: true });
    }
    assert.equal(allowed.size, NAMES);
    assert.equal(served.network?.view.counters()['refusals']?.['tcp-policy'], undefined);
  });
});
