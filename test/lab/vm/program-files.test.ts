import assert from 'node:assert/strict';
import { withLibraries } from '../../../src/lab/vm/program-files.ts';
import { itNeeding } from '../../support/requirements.ts';

describe('lab/vm/program-files', () => {
  // ldd is Linux's, and so are the VM's programs
  itNeeding('a program comes first, its libraries after it', ['linux', 'ldd'], () => {
    const [program, ...libraries] = withLibraries([process.execPath]);
    assert.equal(program, process.execPath);
    for (const library of libraries) assert.match(library, /^\/.*\.so/);
  });

  it('a program that is not there is an error that names it', () => {
    assert.throws(() => withLibraries(['no-such-program']), /no no-such-program on PATH/);
  });
});
