import assert from 'node:assert/strict';
import { DAEMON, FIRST_START, MAIN, programFor } from '../../../src/cli/boot/program-for.ts';

type Row = readonly [program: string, name: string, args: string, env?: NodeJS.ProcessEnv];

const ROWS: readonly Row[] = [
  [MAIN, 'hawser', ''],
  [MAIN, 'hawser', '--version'],
  [MAIN, 'hawser', 'status'],
  [MAIN, 'hawser', 'help run'],
  [FIRST_START, 'hawser', 'run'],
  [FIRST_START, 'hawser', 'run --sandbox strict'],
  [FIRST_START, 'hawser', 'run -l qemu:/tmp/off'],
  [DAEMON, 'hawser', 'run --sandbox off'],
  [DAEMON, 'hawser', 'run --sandbox=off -p 80:80'],
  [DAEMON, 'hawser', 'run', { HAWSER_SECOND_START: '7' }],
  [DAEMON, 'hawser', 'run', { HAWSER_SANDBOX_INHERITED: '1' }],
  [DAEMON, 'hawser', 'usernet -p /tmp/pid'],
  [DAEMON, 'hawser-gvproxy', '-listen-qemu unix:///tmp/a'],
  [FIRST_START, 'hawser-gvproxy', '-sandbox on'],
  [FIRST_START, 'hawser-gvproxy', '--sandbox=auto'],
  [FIRST_START, 'hawser-gvproxy', '', { HAWSER_SANDBOX: 'on' }],
  [DAEMON, 'hawser-gvproxy', '-sandbox off', { HAWSER_SANDBOX: 'on' }],
  [DAEMON, 'hawser-gvproxy', '', { HAWSER_SANDBOX: 'off' }],
  [DAEMON, 'hawser-gvproxy', '-sandbox on', { HAWSER_SECOND_START: '7' }],
  [DAEMON, 'hawser-vpnkit', ''],
  [DAEMON, 'hawser-pasta', '--config-net'],
  [DAEMON, 'hawser-slirp4netns', '1 tap0'],
];

describe('cli/boot/program-for', () => {
  for (const [program, name, args, env = {}] of ROWS) {
    it(`${Object.entries(env).join(' ')} ${name} ${args}: ${program}`, () => {
      const argv = ['node', `/dist/bin/${name}.js`, ...args.split(' ')];
      assert.equal(programFor(name, { argv, env, platform: 'linux' }), program);
    });
  }

  it('where there is no sandbox, there is no first start', () => {
    const argv = ['node', 'hawser.js', 'run'];
    assert.equal(programFor('hawser', { argv, env: {}, platform: 'darwin' }), DAEMON);
  });
});
