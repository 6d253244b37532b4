/** Rootless tools of the distribution, with `hawser-slirp4netns` in the place of slirp4netns, as an ordinary user. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { LAB, systemSuite } from '../support/requirements.ts';
import { busyboxImage } from './support/busybox-image.ts';
import { HTTP_PORT, Lab, OUTSIDE } from './support/lab.ts';
import type { Background } from './support/processes.ts';
import { RootlessUser } from './support/rootless.ts';
import { until } from './support/until.ts';

const BYTES = 100_000_000;
const PORT = 18_080;
const DOCKERD = '/usr/share/docker.io/contrib/dockerd-rootless.sh';
/** Of the seeded stream 0. */
const SUM = /^fedeec56b6ddd8fd6d093419a85e277243643e774363afe47e999b70545eae0e/m;
const DOWNLOAD = `wget -q -O - http://${OUTSIDE}:${HTTP_PORT}/bytes/${BYTES} | sha256sum`;
const HTTPD = 'echo "hello from here" >/www/index.html; exec httpd -f -p 80 -h /www';
const IMAGE = 'hawser-test';

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
  afterEach(() => until('slirp4netns to be gone', () => standIns(user.dir).length === 0));

  const published = (): Promise<string> =>
    user.run('curl', '-sS', '--max-time', '10', `http://127.0.0.1:${PORT}/`);
  const answers = (): Promise<boolean> =>
    published().then(
      (text) => /hello from here/.test(text),
      () => false,
    );

  for (const driver of ['slirp4netns', 'builtin']) {
    it(`RootlessKit downloads, and publishes by its port driver ${driver}`, async () => {
      const kit = user.start([
        ...['rootlesskit', '--net=slirp4netns', '--mtu=65520', '--disable-host-loopback'],
        ...['--slirp4netns-sandbox=true', '--slirp4netns-seccomp=true', '--copy-up=/etc'],
        ...[`--port-driver=${driver}`, '-p', `127.0.0.1:${PORT}:80/tcp`, 'sh', '-c'],
        `curl -sS http://${OUTSIDE}:${HTTP_PORT}/bytes/${BYTES} | sha256sum; mkdir -p ~/www; echo "hello from here" >~/www/index.html; exec busybox httpd -f -p 80 -h ~/www`,
      ]);
      await kit.prints(SUM, 60_000);
      await until('the port to answer', answers);
      await kit.stop('SIGTERM');
    });
  }

  it('dockerd runs containers, publishes their ports, and builds with BuildKit', async () => {
    const dockerd = await startDockerd(user, 'slirp4netns');
    try {
      await docker(user, 'import', image, IMAGE);
      assert.match(await docker(user, 'run', '--rm', IMAGE, 'sh', '-c', DOWNLOAD), SUM);
      const port = `127.0.0.1:${PORT}:80`;
      await docker(user, 'run', '-d', '--name', 'web', '-p', port, IMAGE, 'sh', '-c', HTTPD);
      await until('the port to answer', answers);
      await docker(user, 'rm', '-f', 'web');
      await assert.rejects(published());
      const recipe = `printf 'FROM ${IMAGE}\\nRUN ${DOWNLOAD} >/sum\\n'`;
      const build = `${recipe} | DOCKER_BUILDKIT=1 docker build -q --no-cache -t built -`;
      await user.run('sh', '-c', `DOCKER_HOST=${DOCKER_HOST} && export DOCKER_HOST && ${build}`);
      assert.match(await docker(user, 'run', '--rm', 'built', 'cat', '/sum'), SUM);
    } finally {
      await dockerd.stop('SIGTERM');
    }
  });

  it('podman runs containers, and publishes their ports by both of its ways', async () => {
    await configurePodman(user);
    const podman = (...args: string[]): Promise<string> =>
      user.run('podman', '--runtime', 'runc', ...args);
    await podman('import', image, IMAGE);
    const slirp = ['--network', 'slirp4netns'];
    assert.match(await podman('run', '--rm', ...slirp, IMAGE, 'sh', '-c', DOWNLOAD), SUM);
    for (const network of ['slirp4netns:port_handler=slirp4netns', 'slirp4netns']) {
      const more = ['-p', `127.0.0.1:${PORT}:80`, '--network', network];
      await podman('run', '-d', '--name', 'web', ...more, IMAGE, 'sh', '-c', HTTPD);
      await until('the port to answer', answers);
      await podman('rm', '-f', '-t', '0', 'web');
      await until('the port to be gone', async () => !(await answers()));
    }
  });
});

const DOCKER_HOST = 'unix:///run/user/1000/docker.sock';

const docker = (user: RootlessUser, ...args: string[]): Promise<string> =>
  user.run('docker', '--host', DOCKER_HOST, ...args);

/** As an init script starts it. */
async function startDockerd(user: RootlessUser, network: string): Promise<Background> {
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

/** Processes of our program under the other's name in `dir`. */
function standIns(dir: string): string[] {
  return readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid))
    .filter((pid) => commandLine(pid).includes(`${dir}/bin/slirp4netns`));
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return ''; // it has ended
  }
}
