import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { LAB, systemSuite } from '../support/requirements.ts';
import { download } from './support/clients.ts';
import { type Guest, HOST, HTTP_PORT, Lab } from './support/lab.ts';
import { succeed } from './support/processes.ts';
import { until } from './support/until.ts';

const MIB = 1 << 20;

systemSuite('a killed daemon', [...LAB, 'gcc', 'curl'], function () {
  this.timeout(60_000);
  let lab: Lab;
  beforeEach(async () => {
    lab = await Lab.open();
    await lab.startServers(lab.host);
  });
  afterEach(() => lab.close());

  const works = async (guest: Guest): Promise<void> => {
    const url = `http://${HOST}:${HTTP_PORT}/`;
    await until('the guest to be online', async () => {
      const { stdout } = await guest.try('curl', '-sS', '-m', '1', url);
      return stdout === 'hello from the host\n';
    });
    await download(guest, url.slice(0, -1), 4 * MIB);
  };

  it('restarted on the same qemu: socket: the guest goes on, unchanged', async () => {
    const socket = lab.path('qemu.sock');
    const first = await lab.startDaemon(['--listen', `qemu:${socket}`]);
    const guest = await lab.addGuest({ bridgeTo: socket });
    await guest.plug();
    await guest.lease();
    await works(guest);
    await first.stop('SIGKILL');
    assert.ok(existsSync(socket), 'a stale socket is left');
    await lab.startDaemon(['--listen', `qemu:${socket}`]);
    await works(guest);
  });

  it('restarted on the same tap: link: the guest goes on, unchanged', async () => {
    const guest = await lab.addGuest();
    // A TAP that outlives the daemon.
    await guest.run('ip', 'tuntap', 'add', 'dev', 'eth0', 'mode', 'tap', 'vnet_hdr');
    const first = await lab.startDaemon(['--listen', guest.link]);
    await guest.lease();
    await works(guest);
    await first.stop('SIGKILL');
    await lab.startDaemon(['--listen', guest.link]);
    await works(guest);
  });

  it('a guest that is unplugged and plugged in again goes on', async () => {
    const socket = lab.path('qemu.sock');
    const daemon = await lab.startDaemon(['--listen', `qemu:${socket}`]);
    const guest = await lab.addGuest({ bridgeTo: socket });
    const bridge = await guest.plug();
    await guest.lease();
    await works(guest);
    await bridge?.stop('SIGKILL');
    await guest.plug();
    // The TAP was the bridge's: it is new, and gets the lease of its old hardware address back.
    await succeed(guest.enter(['ip', 'link', 'show', 'eth0']));
    await guest.lease();
    await works(guest);
    assert.ok(daemon.isRunning);
  });
});
