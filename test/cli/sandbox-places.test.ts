import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { configuredFiles, writtenDirectories } from '../../src/cli/sandbox/places.ts';
import { optionsIn } from './fake-network.ts';

describe('files of a sandboxed daemon', () => {
  let dir: string;
  beforeEach(() => {
    dir = realpathSync(mkdtempSync(join(tmpdir(), 'hawser-places-')));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  it('it writes where sockets, leases, pid file and log are, and where it was allowed to', () => {
    const config = optionsIn(dir, {
      listen: [`qemu:${dir}/links/q`],
      publish: [`unix:${dir}/published/s:192.168.127.2:80`],
      mux: { links: [`unix:${dir}/mux/m`], allow: [`unix:${dir}/never/s`] },
      leases: { file: `${dir}/state/leases`, range: undefined, static: [] },
      pidFile: `${dir}/pid/file`,
      log: { level: 'info', format: 'json', file: `${dir}/log/file` },
      api: { kind: 'unix', path: `${dir}/api/sock` },
      sandboxAllow: [`${dir}/later`],
    });
    assert.deepEqual(
      writtenDirectories(config).sort(),
      ['api', 'later', 'links', 'log', 'mux', 'pid', 'published', 'state'].map((name) =>
        join(dir, name),
      ),
    );
  });

  it('it reads the directories of a file and of all that it links to', () => {
    for (const name of ['a', 'b', 'c']) mkdirSync(join(dir, name));
    writeFileSync(join(dir, 'c/hosts'), '');
    symlinkSync('../c/hosts', join(dir, 'b/hosts'));
    symlinkSync(join(dir, 'b/hosts'), join(dir, 'a/hosts'));
    const { dns } = optionsIn(dir, {});
    const config = optionsIn(dir, { dns: { ...dns, hostsFile: join(dir, 'a/hosts') } });
    const read = configuredFiles(config, ['/etc/hawser/hawser.yaml'], [])
      .filter(({ access }) => access === 'read')
      .map(({ path }) => path);
    for (const name of ['a', 'b', 'c']) assert.ok(read.includes(join(dir, name)));
    assert.ok(read.includes('/etc/hawser'));
    assert.ok(!read.includes('/'));
  });

  it('the null device needs no grant, and gives none for other devices; what links to it may be replaced', () => {
    symlinkSync('/dev/null', join(dir, 'hosts'));
    const read = configuredFiles(optionsIn(dir, {}), ['/dev/null', join(dir, 'hosts')], []);
    assert.ok(read.some(({ path }) => path === dir));
    assert.ok(!read.some(({ path }) => path === '/dev'));
  });

  it('a file in the root directory is granted alone', () => {
    const read = configuredFiles(optionsIn(dir, {}), ['/hawser.yaml'], []);
    assert.ok(read.some(({ path }) => path === '/hawser.yaml'));
    assert.ok(!read.some(({ path }) => path === '/'));
  });

  it('above directories made for sockets, only empty directories may be removed', () => {
    const made = [`${dir}/x/y/z`, `${dir}/x/y`];
    const grant = configuredFiles(optionsIn(dir, {}), [], made).find(
      ({ path }) => path === join(dir, 'x'),
    );
    assert.equal(grant?.access, 'remove-directories');
  });
});
