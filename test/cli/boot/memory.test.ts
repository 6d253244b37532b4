import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { memoryArgs, withAllocator } from '../../../src/cli/boot/memory.ts';

const YOUNG = ['--max-semi-space-size=2', '--no-parallel-scavenge'];

describe('cli/boot/memory', () => {
  it('a daemon has a small young generation, and one helper where processors are few', () => {
    assert.deepEqual(memoryArgs([], {}, 2), [...YOUNG, '--v8-pool-size=1']);
    assert.deepEqual(memoryArgs(['--enable-source-maps'], {}, 16), YOUNG);
  });

  it('what the user gives Node holds instead', () => {
    assert.deepEqual(memoryArgs(['--max_semi_space_size=64'], {}, 2), ['--v8-pool-size=1']);
    const env = { NODE_OPTIONS: '--v8-pool-size=3' };
    assert.deepEqual(memoryArgs([], env, 2), YOUNG);
  });

  it('Node takes the arguments', () => {
    const { status, stderr } = spawnSync(process.execPath, [...memoryArgs([], {}, 2), '-e', '0']);
    assert.equal(status, 0, stderr.toString());
  });

  it('the code cache of the build is taken under them, once the size of the heap is forgotten', () => {
    const boot = new URL('../../../src/cli/boot/', import.meta.url);
    const program = fileURLToPath(new URL('../../../bin/hawser.daemon.js', import.meta.url));
    const text = `
      import { forgetYoungSize } from '${new URL('memory.js', boot)}';
      import { loadProgram } from '${new URL('program-file.js', boot)}';
      forgetYoungSize();
      process.stdout.write(String(loadProgram(${JSON.stringify(program)}).cacheAccepted));`;
    const args = [...memoryArgs([], {}, 2), '--input-type=module', '-e', text];
    const { stdout, stderr } = spawnSync(process.execPath, args);
    assert.equal(stdout.toString(), 'true', stderr.toString());
  });

  it('a program collects its young generation by itself, unless the user says otherwise', () => {
    const hook = `require('node:v8').setFlagsFromString = (flag) => console.log(flag);`;
    const preload = `data:text/javascript,${encodeURIComponent(`import { createRequire, syncBuiltinESMExports } from 'node:module';
      const require = createRequire('file:///'); ${hook} syncBuiltinESMExports();`)}`;
    const program = fileURLToPath(new URL('../../../bin/hawser.js', import.meta.url));
    const flags = (...args: string[]): string[] => {
      const argv = [...args, '--import', preload, program, '--version'];
      const { stdout } = spawnSync(process.execPath, argv, { encoding: 'utf8' });
      return stdout.split('\n').filter((line) => line.startsWith('--'));
    };
    assert.deepEqual(flags(), ['--no-parallel-scavenge']);
    assert.deepEqual(flags('--parallel-scavenge'), []);
  });

  it('the C library has no fast bins, unless the user says how many', () => {
    assert.deepEqual(withAllocator({}), { GLIBC_TUNABLES: 'glibc.malloc.mxfast=0' });
    const more = { GLIBC_TUNABLES: 'glibc.malloc.arena_max=2' };
    assert.deepEqual(withAllocator(more), {
      GLIBC_TUNABLES: 'glibc.malloc.arena_max=2:glibc.malloc.mxfast=0',
    });
    const own = { GLIBC_TUNABLES: 'glibc.malloc.mxfast=64' };
    assert.equal(withAllocator(own), own);
  });
});
