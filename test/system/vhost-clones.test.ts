/** Two machines that are copies of one: by `vhost-user:`, with one Ethernet address, and so with one identity for DHCP and one IPv6 address. */
import assert from 'node:assert/strict';
import { LAB, systemSuite } from '../support/requirements.ts';
import { GATEWAY6, HOST6, SUBNET6 } from './support/ipv6.ts';
import { GATEWAY, HOST, HTTP_PORT, Lab } from './support/lab.ts';
import { until } from './support/until.ts';
import { VM_GUEST, VmGuest } from './support/vm-guest.ts';

const MAC = '52:54:00:68:79:01';
/** Of the unheard one, which asks for a lease all the time. */
const MANY_FRAMES = 8;
const HELLO = 'hello from the host\n';

interface GuestView {
  readonly mac: string;
  readonly link: string;
  readonly addresses: readonly string[];
}

systemSuite('clones by vhost-user', [...LAB, ...VM_GUEST, 'ipv6'], function () {
  this.timeout(240_000);
  let lab: Lab;
  let clones: VmGuest[];
  before(async () => {
    lab = await Lab.open();
    clones = [1, 2].map((number) => new VmGuest(lab, number, { mac: MAC }));
  });
  after(async () => {
    await Promise.all(clones.map((clone) => clone.close()));
    await lab.close();
  });

  it('the second is not heard, and the log and the health name its link; it has all once the first is gone', async () => {
    const [first, second] = clones;
    assert.ok(first !== undefined && second !== undefined);
    await lab.startServers(lab.host, '::');
    const links = clones.flatMap(({ link }) => ['--listen', link]);
    const daemon = await lab.startDaemon([...links, ...first.publish, '--subnet6', SUBNET6]);
    const guests = async (): Promise<readonly GuestView[]> =>
      JSON.parse(await daemon.request('/v1/guests')).guests;
    /** What it has as the only one. */
    const has = async (clone: VmGuest): Promise<readonly string[]> => {
      for (const [gateway, host] of [
        [GATEWAY, HOST],
        [GATEWAY6, `[${HOST6}]`],
      ] as const) {
        const ping = ['ping', '-c', '3', '-i', '0.1', '-w', '5', gateway];
        await until(`${clone.name} to ping ${gateway}`, async () => {
          assert.equal(await first.run('hostname'), `${clone.name}\n`);
          return (await first.run(...ping)).includes(' 3 received');
        });
        const url = `http://${host}:${HTTP_PORT}/`;
        assert.equal(await first.run('busybox', 'wget', '-q', '-O', '-', url), HELLO);
      }
      const own = (await guests()).find(
        (one) => one.mac === MAC && one.link.startsWith(clone.link),
      );
      assert.deepEqual(
        own?.addresses.map((one) => one.replace(/:.*/, '')),
        ['192.168.127.2', 'fd12', 'fe80'],
      );
      return own.addresses;
    };
    await first.plug();
    const before = await has(first);
    await second.boot();
    const refused = /reason="ethernet-source-of-another"} (\d+)/;
    await until('the second to ask in vain', async () => {
      const [, count] = refused.exec(await daemon.request('/metrics')) ?? [];
      return Number(count) >= MANY_FRAMES;
    });
    const warned = daemon.stderr.split('\n').filter((line) => /one Ethernet address/.test(line));
    assert.ok(
      warned.length > 0 && warned.every((line) => line.includes(second.link)),
      daemon.stderr,
    );
    const { problems } = JSON.parse(await daemon.request('/v1/health'));
    const claimed = `${MAC}, the Ethernet address of `;
    assert.ok(
      problems.some((one: string) => one.startsWith(claimed) && one.includes(second.link)),
      problems.join('\n'),
    );
    assert.deepEqual(await has(first), before);
    await first.close();
    await second.leased();
    await until('the shell of the second', async () => (await first.run('hostname')) === 'vm-2\n');
    assert.deepEqual(await has(second), before);
    assert.deepEqual(JSON.parse(await daemon.request('/v1/conflicts')).conflicts, []);
  });
});
