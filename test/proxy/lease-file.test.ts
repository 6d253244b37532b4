import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
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

const LEASE6 = {
  ...LEASE,
  address: 'fd00::1:2',
  client: 'duid:000300010200000000aa/00000007',
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
    assert.deepEqual(file.ipv4.load(), []);
    file.ipv4.save([]);
    file.ipv4.save([LEASE]);
    file.flush();
    assert.deepEqual(new LeaseFile(path, SILENT).ipv4.load(), [LEASE]);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(join(directory, 'sub')), ['leases.json']);
  });

  it('keeps leases of both families, each by its own server', () => {
    const file = new LeaseFile(path, SILENT);
    assert.deepEqual(file.ipv6.load(), []);
    file.ipv6.save([LEASE6]);
    file.ipv4.save([LEASE]);
    file.flush();
    const next = new LeaseFile(path, SILENT);
    assert.deepEqual([next.ipv4.load(), next.ipv6.load()], [[LEASE], [LEASE6]]);
  });

  it('keeps what it read of a family that has no server, until that has one again', () => {
    const file = new LeaseFile(path, SILENT);
    file.ipv6.save([LEASE6]);
    file.flush();
    const ipv4Only = new LeaseFile(path, SILENT);
    ipv4Only.ipv4.save([LEASE]);
    ipv4Only.flush();
    assert.deepEqual(new LeaseFile(path, SILENT).ipv6.load(), [LEASE6]);
  });

  it('reads a file from before there were leases of IPv6', () => {
    mkdirSync(join(directory, 'sub'));
    writeFileSync(path, JSON.stringify({ version: 1, leases: [LEASE] }));
    const file = new LeaseFile(path, SILENT);
    assert.deepEqual([file.ipv4.load(), file.ipv6.load()], [[LEASE], []]);
  });

  it('writes a moment after the change by itself', async () => {
    const file = new LeaseFile(path, SILENT, 0);
    file.ipv4.save([LEASE]);
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
      assert.deepEqual(new LeaseFile(place, log).ipv4.load(), []);
      assert.equal(warnings.length, 1);
    });
  }

  it('tries again where it cannot write, and warns once', async () => {
    const lines: string[] = [];
    const add = (_fields: object, message: string): number => lines.push(message);
    const log: Log = { ...SILENT, warn: add, info: add };
    const file = new LeaseFile(path, log, 0, 1);
    file.ipv4.save([LEASE]);
    const obstacle = join(directory, 'sub');
    writeFileSync(obstacle, 'a file where a directory is needed');
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 2));
    rmSync(obstacle);
    while (!existsSync(path)) await new Promise((resolve) => setTimeout(resolve, 1));
    assert.deepEqual(new LeaseFile(path, SILENT).ipv4.load(), [LEASE]);
    assert.equal(lines.length, 2);
    assert.match(lines[0] ?? '', /^cannot write the lease file/);
    assert.equal(lines[1], 'the lease file is written again');
  });

  it('warns when it cannot write, and goes on', () => {
    const warnings: string[] = [];
    const log: Log = { ...SILENT, warn: (_fields, message) => warnings.push(message) };
    writeFileSync(join(directory, 'sub'), 'a file where a directory is needed');
    const file = new LeaseFile(path, log);
    file.ipv4.save([LEASE]);
    file.flush();
    assert.match(warnings.at(-1) ?? '', /^cannot write the lease file/);
  });
});
