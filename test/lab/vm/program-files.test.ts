import assert from 'node:assert/strict';
import { withLibraries } from '../../../src/lab/vm/program-files.ts';

describe('lab/vm/program-files', () => {
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
