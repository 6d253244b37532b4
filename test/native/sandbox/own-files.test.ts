import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ownFiles } from '../../../src/native/sandbox/own-files.ts';
import { describeNeeding } from '../../support/requirements.ts';

describeNeeding('files that Node needs', ['linux'], () => {
  let dir: string;
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-files-'));
  });
  after(() => rmSync(dir, { recursive: true }));

  const paths = (access: string, env: NodeJS.ProcessEnv = {}): string[] =>
    ownFiles(join(dir, 'app/hawser'), env)
      .filter((grant) => grant.access === access)
      .map(({ path }) => path);

  it('its program may be started, nothing else but the loader', () => {
    const [program, ...loaders] = paths('run');
    assert.equal(program, process.execPath);
    for (const path of loaders) assert.match(path, /\/ld-/);
  });

  it('packages above the program, and where a link to one leads', () => {
    mkdirSync(join(dir, 'store/koffi@1/node_modules/koffi'), { recursive: true });
    mkdirSync(join(dir, 'app/node_modules'), { recursive: true });
    symlinkSync('../../store/koffi@1/node_modules/koffi', join(dir, 'app/node_modules/koffi'));
    const read = paths('read');
    assert.ok(read.includes(join(dir, 'app/hawser')));
    assert.ok(read.includes(join(dir, 'app/node_modules')));
    assert.ok(read.includes(join(dir, 'store/koffi@1/node_modules')));
  });

  it('files that variables and options of Node name', () => {
    const env = {
      NODE_EXTRA_CA_CERTS: '/opt/ca/all.pem',
      NODE_OPTIONS: '--require=/opt/a/trace.cjs --import file:///opt/b/more.mjs --no-warnings',
    };
    const read = paths('read', env);
    for (const path of ['/opt/ca/all.pem', '/opt/a', '/opt/b']) assert.ok(read.includes(path));
  });

  it('nothing is written, but coverage where that is asked for', () => {
    assert.deepEqual(paths('write'), []);
    assert.deepEqual(paths('write', { NODE_V8_COVERAGE: dirname(dir) }), [dirname(dir)]);
  });

  it("never the whole file system, nor anybody's home", () => {
    for (const path of paths('read')) assert.ok(!['/', '/home', '/root', '/var'].includes(path));
  });
});
