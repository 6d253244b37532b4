/** dockerd of an ordinary user, as an init script starts it. */
import assert from 'node:assert/strict';
import type { Background } from './processes.ts';
import type { RootlessUser } from './rootless.ts';
import {
  answers,
  buildBy,
  DOWNLOAD,
  HTTPD,
  IMAGE,
  PORT,
  published,
  SUM,
} from './rootless-container.ts';
import { until } from './until.ts';

const DOCKERD = '/usr/share/docker.io/contrib/dockerd-rootless.sh';
const DOCKER_HOST = 'unix:///run/user/1000/docker.sock';

const docker = (user: RootlessUser, ...args: string[]): Promise<string> =>
  user.run('docker', '--host', DOCKER_HOST, ...args);

/** @param network RootlessKit's driver */
export async function startDockerd(user: RootlessUser, network: string): Promise<Background> {
  const data = `${user.dir}/home/docker`;
  const env = [
    `DOCKERD_ROOTLESS_ROOTLESSKIT_NET=${network}`,
    'DOCKERD_ROOTLESS_ROOTLESSKIT_PORT_DRIVER=builtin',
  ];
  const args = ['--data-root', data, '--storage-driver', 'vfs', '--log-level', 'warn'];
  const dockerd = user.start(['env', ...env, DOCKERD, ...args]);
  await until(
    'dockerd to answer',
    async () => {
      assert.ok(dockerd.isRunning, dockerd.stderr.slice(-2_000));
      return (await user.try('docker', '--host', DOCKER_HOST, 'version')).status === 0;
    },
    60_000,
  );
  return dockerd;
}

/** Containers download, publish a port until they are gone, and are built by BuildKit. */
export async function useDocker(user: RootlessUser, image: string): Promise<void> {
  await docker(user, 'import', image, IMAGE);
  assert.match(await docker(user, 'run', '--rm', IMAGE, 'sh', '-c', DOWNLOAD), SUM);
  const port = `127.0.0.1:${PORT}:80`;
  await docker(user, 'run', '-d', '--name', 'web', '-p', port, IMAGE, 'sh', '-c', HTTPD);
  await until('the port to answer', () => answers(user));
  await docker(user, 'rm', '-f', 'web');
  await assert.rejects(published(user));
  const build = buildBy('DOCKER_BUILDKIT=1 docker build');
  await user.run('sh', '-c', `DOCKER_HOST=${DOCKER_HOST} && export DOCKER_HOST && ${build}`);
  assert.match(await docker(user, 'run', '--rm', 'built', 'cat', '/sum'), SUM);
}
