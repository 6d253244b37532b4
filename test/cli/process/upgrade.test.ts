/** Whoever upgrades hawser replaces or removes its files while it runs. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { type ClientRequest, request } from 'node:http';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { until } from '../../proxy/recording.ts';
import { describeNeeding } from '../../support/requirements.ts';
import { HAWSER, Workplace } from './hawser.ts';

/** Its status and body. */
async function answerOf(asked: ClientRequest): Promise<string> {
  const [answer] = await once(asked, 'response');
  return `${answer.statusCode} ${await text(answer)}`;
}

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
    await pause(500); // it keeps them behind its line of readiness
    rmSync(place.path('old'), { recursive: true });
    const socketPath = place.path('hawser/default/api.sock');
    const metrics = await answerOf(request({ socketPath, path: '/metrics' }).end());
    assert.match(metrics, /^200 .*hawser_/s, daemon.stderr);
    const headers = { 'content-type': 'application/json' };
    const put = request({ socketPath, path: '/v1/policy', method: 'PUT', headers });
    const policy = await answerOf(put.end(JSON.stringify({ default: 'deny' })));
    assert.match(policy, /^200 /, daemon.stderr);
    daemon.child.kill();
    await until(() => daemon.child.exitCode !== null);
    assert.equal(daemon.child.exitCode, 0);
  });
});
