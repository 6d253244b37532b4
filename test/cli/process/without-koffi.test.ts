import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { describeNeeding } from '../../support/requirements.ts';
import { type Program, Workplace } from './hawser.ts';

const HIDE_KOFFI = `const Module = require('node:module');
const load = Module._load;
Module._load = (name, ...rest) => {
  if (name === 'koffi') throw new Error("Cannot find module 'koffi'");
  return load(name, ...rest);
};`;

describeNeeding('hawser without koffi', ['linux'], () => {
  let place: Workplace;
  beforeEach(() => {
    place = new Workplace();
    writeFileSync(place.path('hide.cjs'), HIDE_KOFFI);
  });
  afterEach(() => place.close());
  const hawser = (...args: string[]): Program =>
    place.hawser(args, {
      env: { NODE_OPTIONS: `--require=${place.path('hide.cjs')}`, HAWSER_DEMO_GUEST: 'simulated' },
    });

  it('the demo passes, and says in one sentence what is missing', async () => {
    const program = hawser('demo', '--once', '--size', '1', '--log-format', 'json');
    assert.equal((await program.ended).status, 0, program.stderr);
    const { time: _time, pid: _pid, ...line } = JSON.parse(program.stderr);
    assert.deepEqual(line, {
      level: 'warn',
      msg: 'cannot let guests ping, or see ICMP errors for UDP: the optional package koffi is not installed; install it with `npm install koffi`',
    });
  });

  for (const [args, what, instead] of [
    [['--mux', 'vhost-vsock:/nowhere/v:3'], '--mux vhost-vsock:/nowhere/v:3', 'unix:'],
    [['--listen', 'tap:t0'], 'tap:t0', 'qemu:'],
    [['--listen', 'vfkit:/nowhere/v'], 'vfkit:/nowhere/v', 'qemu:'],
    [['--listen', 'bess:/nowhere/b'], 'bess:/nowhere/b', 'qemu:'],
    [['--listen', 'fd-socket:/nowhere/f'], 'fd-socket:/nowhere/f', 'qemu:'],
    [['--listen', 'qemu-dgram:/nowhere/d,/v'], 'qemu-dgram:/nowhere/d,/v', 'qemu:'],
  ] as const) {
    it(`${args.join(' ')} names what is missing, and what would do instead`, async () => {
      const [flag, link] = args;
      const program = hawser(
        'run',
        flag,
        link.replace('/nowhere', place.dir),
        '--log-level',
        'error',
      );
      assert.equal((await program.ended).status, 1);
      assert.equal(
        program.stderr,
        `hawser: cannot open ${what.replace('/nowhere', place.dir)}: the optional package koffi is not installed; install it with \`npm install koffi\`, or use a ${instead} link instead\n`,
      );
    });
  }
});
