/** RootlessKit's own driver for vpnkit, with `hawser-vpnkit` in the place of vpnkit, as an ordinary user. */
import assert from 'node:assert/strict';
import { LAB, systemSuite } from '../support/requirements.ts';
import { busyboxImage } from './support/busybox-image.ts';
import { Lab } from './support/lab.ts';
import { RootlessUser } from './support/rootless.ts';
import { answers, BARE, PORT, SUM } from './support/rootless-container.ts';
import { startDockerd, useDocker } from './support/rootless-dockerd.ts';
import { findRootlessKitWithVpnkit } from './support/rootless-kit.ts';
import { until } from './support/until.ts';

const NEEDS = [...LAB, 'userns', 'curl', 'newuidmap', 'docker', 'rootlesskit-vpnkit'] as const;

systemSuite('rootless tools on vpnkit', NEEDS, function () {
  this.timeout(180_000);
  let lab: Lab;
  let user: RootlessUser;

  before(async () => {
    lab = await Lab.open();
    await lab.startServers(lab.outside);
    user = await RootlessUser.open(lab, {
      vpnkit: 'hawser-vpnkit.js',
      rootlesskit: findRootlessKitWithVpnkit(),
    });
  });
  after(async () => await lab?.close());
  afterEach(() => until('vpnkit to be gone', () => user.standIns('vpnkit').length === 0));

  it('RootlessKit downloads, and publishes a port', async () => {
    const kit = user.start([
      ...['rootlesskit', '--net=vpnkit', '--mtu=1500', '--disable-host-loopback', '--copy-up=/etc'],
      ...['--port-driver=builtin', '-p', `127.0.0.1:${PORT}:80/tcp`, 'sh', '-c', BARE],
    ]);
    await kit.prints(SUM, 60_000);
    assert.equal(user.standIns('vpnkit').length, 1);
    await until('the port to answer', () => answers(user));
    await kit.stop('SIGTERM');
  });

  it('dockerd runs containers, publishes their ports, and builds with BuildKit', async () => {
    const image = await busyboxImage(user.dir);
    const dockerd = await startDockerd(user, 'vpnkit');
    try {
      assert.equal(user.standIns('vpnkit').length, 1);
      await useDocker(user, image);
    } finally {
      await dockerd.stop('SIGTERM');
    }
  });
});
