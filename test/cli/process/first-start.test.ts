/** A first start that has no second one: the daemon's program takes its place. */
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { describeNeeding } from '../../support/requirements.ts';
import { Workplace } from './hawser.ts';

describeNeeding('a first start without a second', ['linux'], () => {
  let place: Workplace;
  beforeEach(() => {
    place = new Workplace();
    writeFileSync(place.path('off.yaml'), 'sandbox: off\nexitWithParent: true\n');
  });
  afterEach(() => place.close());

  it('a sandbox that the configuration leaves out: the daemon starts, and ends, as any other', async () => {
    const socket = place.path('guest.sock');
    const daemon = await place.daemon(['-c', place.path('off.yaml'), '--listen', `qemu:${socket}`]);
    const status = place.hawser(['status', '--json']);
    assert.equal((await status.ended).status, 0, status.stderr);
    assert.equal(JSON.parse(status.stdout).info.sandbox.mode, 'off');
    daemon.child.kill('SIGTERM');
    assert.deepEqual(await daemon.ended, { status: 0, signal: null });
    assert.equal(existsSync(socket), false);
    assert.equal(daemon.stderr.match(/hawser is ready/g)?.length, 1);
  });

  it('what is wrong is said once', async () => {
    const args = ['-c', place.path('off.yaml'), '--listen', 'qemu:/dev/null/a.sock'];
    const daemon = place.hawser(['run', ...args]);
    assert.equal((await daemon.ended).status, 1);
    assert.equal(daemon.stderr.match(/^hawser: /gm)?.length, 1, daemon.stderr);
  });
});
