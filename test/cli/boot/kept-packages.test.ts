import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';

import { tmpdir } from 'node:os';
import { join, sep } from 'node:path';
import { KeptPackages } from '../../../src/cli/boot/kept-packages.ts';

describe('cli/boot/kept-packages', () => {
  let dir: string;
  let packages: KeptPackages;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
    writeFileSync(join(dir, 'tldts.js'), "module.exports = { sep: require('node:path').sep };");
    packages = new KeptPackages(join(dir, 'program.js'));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  it('one that was kept is there when its file is gone, and is one', () => {
    packages.keep();
    rmSync(join(dir, 'tldts.js'));
    const loaded = packages.load('./tldts.js');
    assert.deepEqual(loaded, { sep });
    assert.equal(packages.load('./tldts.js'), loaded);
  });

  it('others are required from where the program is', () => {
    packages.keep(); // the others cannot be read
    assert.equal(Reflect.get(Object(packages.load('node:path')), 'sep'), sep);
    assert.throws(() => packages.load('./prom-client.js'), { code: 'MODULE_NOT_FOUND' });
  });
});
