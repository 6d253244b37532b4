/** Whoever upgrades hawser replaces or removes its files while it runs. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { until } from '../../proxy/recording.ts';
import { describeNeeding } from '../../support/requirements.ts';
import { HAWSER, Workplace } from './hawser.ts';

describeNeeding('a daemon whose files are gone', ['linux'], () => {
  let place: Workplace;
  beforeEach(() => {
    place = new Workplace();
  });
  afterEach(() => place.close());

  it('serves what it has not done before', async () => {
    const root = dirname(dirname(dirname(HAWSER)));
    mkdirSync(place.path('old'));
    for (const name of ['dist/bin', 'package.json']) {
      cpSync(join(root, name), join(place.path('old'), name), { recursive: true });
    }
    const program = join(place.path('old'), 'dist/bin/hawser.js');
    const daemon = place.start(process.execPath, [program, 'run', '--sandbox', 'off']);
    await daemon.says(/hawser is ready/);
    rmSync(place.path('old'), { recursive: true });
    const metrics = place.start('curl', [
      ...['-s', '-f', '--unix-socket', place.path('hawser/default/api.sock')],
      'http://localhost/metrics',
    ]);
    assert.equal((await metrics.ended).status, 0, daemon.stderr);
    assert.match(metrics.stdout, /^hawser_/m);
    const document = JSON.stringify({ default: 'deny' });
    const policy = place.start('curl', [
      ...['-s', '-f', '-X', 'PUT', '-H', 'content-type: application/json', '-d', document],
      ...['--unix-socket', place.path('hawser/default/api.sock'), 'http://localhost/v1/policy'],
    ]);
    assert.equal((await policy.ended).status, 0, daemon.stderr);
    daemon.child.kill();
    await until(() => daemon.child.exitCode !== null);
    assert.equal(daemon.child.exitCode, 0);
  });
});
