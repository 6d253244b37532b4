import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { Workplace } from './hawser.ts';

describe('hawser demo as a process', () => {
  let place: Workplace;
  beforeEach(() => {
    place = new Workplace();
  });
  afterEach(() => place.close());

  for (const once of [['--once'], []]) {
    it(`${['demo', ...once, '--vm'].join(' ')} without QEMU has checked nothing: status 1`, async () => {
      const program = place.hawser(['demo', ...once, '--vm'], { env: { PATH: place.dir } });
      assert.deepEqual(await program.ended, { status: 1, signal: null });
      assert.match(program.stderr, /^hawser demo: no qemu-system-x86_64 on PATH/m);
    });
  }

  it('demo --once that is interrupted, even twice, has not passed: status 1, nothing left', async () => {
    const program = place.hawser(['demo', '--once'], { env: { HAWSER_DEMO_GUEST: 'simulated' } });
    await program.says(/lease by DHCP/, 'stdout');
    for (const signal of ['SIGSTOP', 'SIGINT', 'SIGTERM', 'SIGCONT'] as const) {
      program.child.kill(signal); // the two in the middle arrive at once
    }
    assert.deepEqual(await program.ended, { status: 1, signal: null });
    assert.deepEqual(readdirSync(place.path('hawser')), []);
  });

  it('nor has one that is interrupted while it starts', async () => {
    const program = place.hawser(['demo', '--once'], { env: { HAWSER_DEMO_GUEST: 'simulated' } });
    const dir = place.path('hawser');
    while (!existsSync(dir) || readdirSync(dir).length === 0) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    program.child.kill('SIGINT');
    assert.deepEqual(await program.ended, { status: 1, signal: null });
    assert.doesNotMatch(program.stdout, /lease by DHCP/);
    assert.deepEqual(readdirSync(dir), []);
  });
});
