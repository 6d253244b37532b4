/** `hawser agent --watch-docker` beside the API service of a real Podman. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findBusybox } from '../../src/lab/vm/vm-parts.ts';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { type Guest, Lab } from './support/lab.ts';
import { succeed } from './support/processes.ts';
import { published } from './support/published.ts';
import { until } from './support/until.ts';

const MUX_PORT = 4099;
const AGENT = fileURLToPath(new URL('../../hawser-agent.mjs', import.meta.url));
const OPTIONS =
  '--runroot /run/podman --storage-driver vfs --cgroup-manager cgroupfs --runtime runc --log-level error';
/** In mounts of its own, so that nothing of it stays. */
const SERVICE = `
  mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /var/lib/cni || mkdir -p /run/cni
  exec podman --root "$0/root" ${OPTIONS} system service -t 0 "unix://$0/podman.sock"`;
const WEB = 'echo hello >/www/index.html; exec httpd -f -p 80 -h /www';

systemSuite('agent --watch-docker, Podman', [...LAB, 'podman', 'docker', 'curl'], function () {
  this.timeout(120_000);
  let lab: Lab;
  let guest: Guest;
  let daemon: Daemon;
  let dir: string;

  const podman = (...args: string[]): Promise<string> =>
    succeed(['podman', '--remote', '--url', `unix://${join(dir, 'podman.sock')}`, ...args]);
  const becomes = async (expected: readonly string[]): Promise<void> => {
    await until(`ports ${expected.join(', ')}`, async () => {
      const ports = await published(daemon, 'mux');
      return ports.join() === expected.join();
    });
  };

  before(async () => {
    lab = await Lab.open();
    const api = ['--guest-api', 'on', '--mux', `guest:${MUX_PORT}`];
    ({ guest, daemon } = await lab.standard(api));
    dir = lab.path('podman');
    for (const name of ['root', 'image/bin', 'image/www']) {
      mkdirSync(join(dir, name), { recursive: true });
    }
    copyFileSync(findBusybox(), join(dir, 'image/bin/busybox'));
    for (const name of ['sh', 'httpd', 'echo'])
      symlinkSync('busybox', join(dir, 'image/bin', name));
    await succeed(['tar', '-C', join(dir, 'image'), '-cf', join(dir, 'image.tar'), '.']);
    const unshare = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
    guest.start([...unshare, 'sh', '-c', SERVICE, dir]);
    const watched = ['--watch-docker', join(dir, 'podman.sock')];
    const args = ['--listen', `tcp:0.0.0.0:${MUX_PORT}`];
    const agent = guest.start([process.execPath, AGENT, ...args, ...watched]);
    await agent.prints(/containers are watched/);
    await podman('import', join(dir, 'image.tar'), 'web');
  });
  after(async () => {
    await lab?.close();
  });

  it('a container is published while it runs', async () => {
    await podman('run', '-d', '--name', 'web', '-p', '8080:80', 'web', '/bin/sh', '-c', WEB);
    await becomes(['127.0.0.1 8080/tcp']);
    const hello = await until('the server to answer', () =>
      lab.host.run('curl', '-sS', '-m', '5', 'http://127.0.0.1:8080/'),
    );
    assert.equal(hello, 'hello\n');
    await podman('stop', '-t', '1', 'web');
    await becomes([]);
    await podman('start', 'web');
    await becomes(['127.0.0.1 8080/tcp']);
    await podman('rm', '-f', '-t', '1', 'web');
    await becomes([]);
  });
});
