import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { moduleFiles, withLibraries } from '../../../src/cli/demo/vm/program-files.ts';

describe('cli/demo/vm/program-files', () => {
  const entry = fileURLToPath(new URL('../../../src/cli/agent/main.js', import.meta.url));
  const packageJson = fileURLToPath(new URL('../../../../package.json', import.meta.url));

  it('the agent runs from its module files alone', () => {
    const dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
    try {
      for (const file of moduleFiles(entry, packageJson)) {
        mkdirSync(dirname(join(dir, file)), { recursive: true });
        copyFileSync(file, join(dir, file));
      }
      const said = execFileSync(process.execPath, [join(dir, entry), '--version']);
      assert.match(said.toString(), /^hawser-agent /);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it('takes in nothing that the agent does not import', () => {
    const files = moduleFiles(entry, packageJson);
    assert.equal(new Set(files).size, files.length);
    assert.ok(!files.some((file) => file.includes('/cli/demo/') || file.includes('/koffi/')));
  });

  it('a program comes first, its libraries after it', function () {
    if (process.platform !== 'linux') this.skip(); // ldd is Linux's, and so are the VM's programs
    const [program, ...libraries] = withLibraries([process.execPath]);
    assert.equal(program, process.execPath);
    for (const library of libraries) assert.match(library, /^\/.*\.so/);
  });

  it('a program that is not there is an error that names it', () => {
    assert.throws(() => withLibraries(['no-such-program']), /no no-such-program on PATH/);
  });
});
