import assert from 'node:assert/strict';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Log } from '../../src/base/log.ts';
import { SILENT } from '../../src/base/log.ts';
import { LeaseFile } from '../../src/proxy/lease-file.ts';

const LEASE = {
  address: '192.168.127.2',
  mac: '02:00:00:00:00:01',
  client: 'hw:020000000001',
  hostname: 'vm',
  expiresAtMs: 1_700_000_000_000,
};

describe('lease file', () => {
  let directory: string;
  let path: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'hawser-leases-'));
    path = join(directory, 'sub', 'leases.json');
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it('reads back what it wrote, private and without leftovers', () => {
    const file = new LeaseFile(path, SILENT);
    assert.deepEqual(file.load(), []);
    file.save([]);
    file.save([LEASE]);
    file.flush();
    assert.deepEqual(new LeaseFile(path, SILENT).load(), [LEASE]);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(join(directory, 'sub')), ['leases.json']);
  });

  it('writes a moment after the change by itself', async () => {
    const file = new LeaseFile(path, SILENT, 0);
    file.save([LEASE]);
    while (!existsSync(path)) await new Promise((resolve) => setImmediate(resolve));
    assert.match(readFileSync(path, 'utf8'), /192\.168\.127\.2/);
  });

  for (const [what, text] of [
    ['half a file', '{"version":1,"leases":[{"addr'],
    ['another version', '{"version":2,"leases":[]}'],
    ['wrong types', '{"version":1,"leases":[{"address":7}]}'],
  ] as const) {
    it(`starts without leases, with a warning, from ${what}`, () => {
      const warnings: string[] = [];
      const log: Log = { ...SILENT, warn: (_fields, message) => warnings.push(message) };
      const place = join(directory, 'broken.json');
      writeFileSync(place, text);
      assert.deepEqual(new LeaseFile(place, log).load(), []);
      assert.equal(warnings.length, 1);
    });
  }

  it('warns when it cannot write, and goes on', () => {
    const warnings: string[] = [];
    const log: Log = { ...SILENT, warn: (_fields, message) => warnings.push(message) };
    writeFileSync(join(directory, 'sub'), 'a file where a directory is needed');
    const file = new LeaseFile(path, log);
    file.save([LEASE]);
    file.flush();
    assert.equal(warnings.length, 1);
  });
});
