import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describeNeeding, itNeeding } from '../support/requirements.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

const dropIn = (name: string): string =>
  fileURLToPath(new URL(`../../bin/${name}.js`, import.meta.url));

const shell = (script: string, ...command: string[]) => shellOf(MAIN, script, ...command);

const shellOf = (program: string, script: string, ...command: string[]) => {
  const args = ['-c', script, 'sh', process.execPath, program, ...command];
  const { status, stdout, stderr } = spawnSync('sh', args, { encoding: 'utf8' });
  return { status, stdout, stderr };
};

const NO_SPACE = {
  status: 1,
  stdout: '',
  stderr: 'hawser: cannot write to standard output: ENOSPC\n',
};

describeNeeding("a command's output", ['linux'], () => {
  for (const command of [
    ['version'],
    ['version', '--json'],
    ['completion', 'bash'],
    ['policy', 'schema'],
    ['run', '--print-config'],
    ['--help'],
    ['help', 'run'],
    ['run', '--help'],
    ['--version'],
    ['agent', '--help'],
    ['usernet', '--help'],
  ]) {
    it(`${command.join(' ')} to a full disk: status 1, and why`, () => {
      assert.deepEqual(shell('exec "$@" >/dev/full', ...command), NO_SPACE);
    });
  }

  for (const name of ['hawser-gvproxy', 'hawser-pasta', 'hawser-slirp4netns', 'hawser-vpnkit']) {
    it(`${name} --version to a full disk: status 1, and why`, () => {
      const stderr = NO_SPACE.stderr.replace('hawser', name);
      const told = shellOf(dropIn(name), 'exec "$@" >/dev/full', '--version');
      assert.deepEqual(told, { ...NO_SPACE, stderr });
    });
  }

  itNeeding('to a disk that takes a part of it: status 1, and why', ['userns'], () => {
    const dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
    try {
      const script = `exec unshare -Urm sh -c 'mount -t tmpfs -o size=4k none ${dir} && "$@" >${dir}/out' sh "$@"`;
      assert.deepEqual(shell(script, 'policy', 'schema'), NO_SPACE);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it('to a reader that has gone: status 0, and no message', () => {
    const { stderr } = shell('{ "$@"; echo $? >&2; } | true', 'policy', 'schema');
    assert.equal(stderr, '0\n');
  });
});
