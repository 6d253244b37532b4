/** DHCP beside guests that do without it, or that claim another's Ethernet address. */
import assert from 'node:assert/strict';
import { LAB, systemSuite } from '../support/requirements.ts';
import { GATEWAY, Lab } from './support/lab.ts';

systemSuite('DHCP addresses', [...LAB, 'udhcpc'], function () {
  this.timeout(60_000);
  let lab: Lab;

  beforeEach(async () => {
    lab = await Lab.open();
  });
  afterEach(() => lab.close());

  it('a guest is not given the address that another has by hand', async () => {
    const [byHand, asks] = [await lab.addGuest(), await lab.addGuest()];
    await lab.startDaemon(['--listen', byHand.link, '--listen', asks.link]);
    await byHand.run('ip', 'addr', 'add', '192.168.127.2/24', 'dev', 'eth0');
    await byHand.run('ip', 'link', 'set', 'eth0', 'up');
    await byHand.run('ping', '-c', '1', '-W', '5', GATEWAY);
    assert.equal((await asks.lease()).address, '192.168.127.3');
    await byHand.run('ping', '-c', '1', '-W', '5', '192.168.127.3');
  });

  it('the lease of an attached guest is not given to another link in its Ethernet address', async () => {
    const [holder, clone] = [await lab.addGuest(), await lab.addGuest()];
    const daemon = await lab.startDaemon(['--listen', holder.link, '--listen', clone.link]);
    const { address } = await holder.lease();
    const mac = / ([\da-f:]{17}) /.exec(await holder.run('ip', '-br', 'link', 'show', 'eth0'))?.[1];
    assert.ok(mac !== undefined);
    await clone.run('ip', 'link', 'set', 'eth0', 'address', mac, 'up');
    const once = ['-f', '-n', '-q', '-t', '2', '-T', '1', '-s', '/bin/true'];
    const { status } = await clone.try('udhcpc', '-i', 'eth0', ...once, '-r', address);
    assert.notEqual(status, 0, 'no lease');
    assert.ok((await daemon.request('/v1/leases')).includes(`"${address}"`));
    const warnings = daemon.stderr.split('\n').filter((line) => line.includes('one Ethernet'));
    assert.ok(warnings.length > 0, daemon.stderr);
  });
});
