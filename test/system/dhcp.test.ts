/** DHCP with real clients: clones of one image, and long search lists. */
import assert from 'node:assert/strict';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { type Guest, Lab } from './support/lab.ts';
import { until } from './support/until.ts';

const DOMAINS = Array.from({ length: 8 }, (_, i) => `${'a'.repeat(20)}${i}.corp.example`);

systemSuite('DHCP clients', [...LAB, 'dhclient'], function () {
  this.timeout(60_000);
  let lab: Lab;
  let guests: Guest[];
  let daemon: Daemon;

  before(async () => {
    lab = await Lab.open();
    guests = [await lab.addGuest(), await lab.addGuest(), await lab.addGuest()];
    const links = guests.flatMap(({ link }) => ['--listen', link]);
    const search = DOMAINS.flatMap((domain) => ['--dns-search', domain]);
    daemon = await lab.startDaemon([...links, ...search]);
  });
  after(() => lab.close());

  /** dhclient, as an image's clone runs it. @returns its lease file, once it holds a lease */
  async function dhclient(guest: Guest): Promise<string> {
    const config = lab.path('dhclient.conf');
    writeFileSync(
      config,
      'send dhcp-client-identifier "clone";\nrequest subnet-mask, domain-search;\n',
    );
    const leases = lab.path(`${guest.name}.leases`);
    writeFileSync(leases, '');
    const files = ['-cf', config, '-lf', leases, '-pf', lab.path(`${guest.name}.pid`)];
    guest.start(['dhclient', '-4', '-d', '-sf', '/bin/true', ...files, 'eth0']);
    return await until(`${guest.name} to have a lease`, () => {
      const text = readFileSync(leases, 'latin1');
      return text.includes('}') ? text : undefined;
    });
  }
  const addressIn = (lease: string): string => /fixed-address ([\d.]+)/.exec(lease)?.[1] ?? '';

  it('two guests with one client identifier have two addresses, and one warning', async () => {
    const [one, two] = guests;
    assert.ok(one !== undefined && two !== undefined);
    const first = addressIn(await dhclient(one));
    const second = addressIn(await dhclient(two));
    assert.match(first, /^192\.168\.127\.\d+$/);
    assert.match(second, /^192\.168\.127\.\d+$/);
    assert.notEqual(first, second);
    const leases: unknown = JSON.parse(await daemon.request('/v1/leases'));
    const text = JSON.stringify(leases);
    for (const address of [first, second]) assert.ok(text.includes(`"${address}"`), text);
    const warnings = daemon.stderr.split('\n').filter((line) => line.includes('client identifier'));
    assert.equal(warnings.length, 1, daemon.stderr);
  });

  it('dhclient reads all of a long search list', async () => {
    const [one] = guests;
    assert.ok(one !== undefined);
    const lease = readFileSync(lab.path(`${one.name}.leases`), 'latin1');
    const listed = /option domain-search ([^;]*);/.exec(lease)?.[1] ?? '';
    assert.deepEqual(
      listed.split(',').map((name) => name.trim().replace(/^"(.*?)\.?"$/, '$1')),
      DOMAINS,
    );
  });

  it('udhcpc reads all of a long search list', async () => {
    const guest = guests[2];
    assert.ok(guest !== undefined);
    const script = lab.path('udhcpc.script');
    writeFileSync(script, '#!/bin/sh\n[ "$1" = bound ] && echo "search=$search"\nexit 0\n');
    chmodSync(script, 0o755);
    const argv = ['udhcpc', '-f', '-q', '-n', '-i', 'eth0', '-O', 'search', '-s', script];
    const said = await guest.run(...argv);
    assert.deepEqual(/^search=(.*)$/m.exec(said)?.[1]?.trim().split(' '), DOMAINS);
  });
});
