/** `hawser-docker-proxy` under a rootless dockerd: a user namespace of an ordinary user, and a network of its own. */
import assert from 'node:assert/strict';
import { chmodSync, cpSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FakeControl } from '../cli/docker-proxy/fake-control.ts';
import { systemSuite } from '../support/requirements.ts';
import { succeed } from './support/processes.ts';
import type { Outcome } from './support/rootless-proxy-main.ts';

const STAND_IN = fileURLToPath(new URL('support/rootless-proxy-main.js', import.meta.url));
const MAIN = fileURLToPath(new URL('../../bin/docker-proxy.js', import.meta.url));
const SHELL = resolve('src/cli/docker-proxy/hawser-docker-proxy.sh');
const ORDINARY = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--'];
const NAMESPACES = ['unshare', '--user', '--map-root-user', '--net', '--'];

systemSuite('docker-proxy, rootless', ['root', 'userns', 'netns', 'nsenter', 'koffi'], function () {
  this.timeout(60_000);
  let control: FakeControl;

  before(async () => {
    control = new FakeControl();
    await control.start();
    chmodSync(control.dir, 0o777);
    chmodSync(control.path, 0o777);
  });
  after(async () => {
    await control.close();
  });

  it('nsenter -n -F with -use-listen-fd: the broker serves the socket, and hawser is asked by a path', async () => {
    const env = {
      PATH: process.env['PATH'] ?? '',
      XDG_RUNTIME_DIR: control.dir, // short-lived: the broker removes its directory when the stand-in ends
      HAWSER_CONTROL: control.path,
      HAWSER_LOCAL: 'always',
      HAWSER_DOCKER_PROXY_MAIN: MAIN,
    };
    const shell = join(control.dir, 'hawser-docker-proxy');
    cpSync(SHELL, shell);
    const variables = Object.entries(env).map(([key, value]) => `${key}=${value}`);
    const script = 'ip link set lo up && exec "$@"';
    const standIn = ['sh', '-c', script, 'sh', process.execPath, STAND_IN, shell];
    const said = await succeed([...ORDINARY, 'env', '-i', ...variables, ...NAMESPACES, ...standIn]);
    const outcome: Outcome = JSON.parse(said);
    assert.deepEqual(outcome, {
      status: '0\n',
      comm: 'hawser-docker-p',
      hello: 'hello',
      isFree: true,
    });
    assert.equal(control.asked.length, 1);
  });
});
