/** Rootless tools of the distribution, with `hawser-slirp4netns` in the place of slirp4netns, as an ordinary user. */
import assert from 'node:assert/strict';
import { LAB, systemSuite } from '../support/requirements.ts';
import { busyboxImage } from './support/busybox-image.ts';
import { Lab } from './support/lab.ts';
import { RootlessUser } from './support/rootless.ts';
import {
  answers,
  BARE,
  buildBy,
  DOWNLOAD,
  HTTPD,
  IMAGE,
  PORT,
  SUM,
} from './support/rootless-container.ts';
import { startDockerd, useDocker } from './support/rootless-dockerd.ts';
import { until } from './support/until.ts';

/** What buildah says of a network that is not ready within a second, as on a machine that is busy; and how often it may. */
const IS_LATE = /slirp4netns failed/;
const BUILDS = 5;

const NEEDS = [...LAB, 'userns', 'curl', 'newuidmap', 'rootlesskit'] as const;

systemSuite('rootless tools on slirp4netns', [...NEEDS, 'docker', 'podman'], function () {
  this.timeout(180_000);
  let lab: Lab;
  let user: RootlessUser;
  let image: string;

  before(async () => {
    lab = await Lab.open();
    await lab.startServers(lab.outside);
    user = await RootlessUser.open(lab, { slirp4netns: 'hawser-slirp4netns.js' });
    image = await busyboxImage(user.dir);
  });
  after(async () => await lab?.close());
  afterEach(() => until('slirp4netns to be gone', () => user.standIns('slirp4netns').length === 0));
  const assertOurs = (): void => assert.ok(user.standIns('slirp4netns').length > 0);

  for (const driver of ['slirp4netns', 'builtin']) {
    it(`RootlessKit downloads, and publishes by its port driver ${driver}`, async () => {
      const kit = user.start([
        ...['rootlesskit', '--net=slirp4netns', '--mtu=65520', '--disable-host-loopback'],
        ...['--slirp4netns-sandbox=true', '--slirp4netns-seccomp=true', '--copy-up=/etc'],
        ...[`--port-driver=${driver}`, '-p', `127.0.0.1:${PORT}:80/tcp`, 'sh', '-c'],
        BARE,
      ]);
      await kit.prints(SUM, 60_000);
      await until('the port to answer', () => answers(user));
      assertOurs();
      await kit.stop('SIGTERM');
    });
  }

  it('dockerd runs containers, publishes their ports, and builds with BuildKit', async () => {
    const dockerd = await startDockerd(user, 'slirp4netns');
    try {
      await useDocker(user, image);
      assertOurs();
    } finally {
      await dockerd.stop('SIGTERM');
    }
  });

  it('podman runs containers, publishes their ports by both of its ways, and builds with buildah', async () => {
    await configurePodman(user);
    const podman = (...args: string[]): Promise<string> =>
      user.run('podman', '--runtime', 'runc', ...args);
    await podman('import', image, IMAGE);
    const slirp = ['--network', 'slirp4netns'];
    assert.match(await podman('run', '--rm', ...slirp, IMAGE, 'sh', '-c', DOWNLOAD), SUM);
    for (const network of ['slirp4netns:port_handler=slirp4netns', 'slirp4netns']) {
      const more = ['-p', `127.0.0.1:${PORT}:80`, '--network', network];
      await podman('run', '-d', '--name', 'web', ...more, IMAGE, 'sh', '-c', HTTPD);
      await until('the port to answer', () => answers(user));
      assertOurs();
      await podman('rm', '-f', '-t', '0', 'web');
      await until('the port to be gone', async () => !(await answers(user)));
    }
    for (let tries = 1; ; tries++) {
      const building = user.start(['sh', '-c', buildBy('podman --runtime runc build')]);
      await until('the build to have its network', () => user.standIns('slirp4netns').length > 0);
      if ((await building.exited) === 0) break;
      assert.ok(tries < BUILDS && IS_LATE.test(building.stderr), building.stderr);
    }
    assert.match(await podman('run', '--rm', 'built', 'cat', '/sum'), SUM);
  });
});

async function configurePodman(user: RootlessUser): Promise<void> {
  const files = {
    'policy.json': '{"default":[{"type":"insecureAcceptAnything"}]}',
    'containers.conf': '[engine]\ncgroup_manager="cgroupfs"\nevents_logger="file"\n',
    'storage.conf': '[storage]\ndriver="vfs"\n',
  };
  await user.run('mkdir', '-p', `${user.dir}/home/.config/containers`);
  for (const [name, text] of Object.entries(files)) {
    const path = `${user.dir}/home/.config/containers/${name}`;
    await user.run('sh', '-c', 'printf "%s" "$1" >"$0"', path, text);
  }
}
