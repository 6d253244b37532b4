/** DHCPv6 with real clients. */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { LeaseView } from '../../src/control/network-view.ts';
import { itNeeding, LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { GATEWAY6, SUBNET6 } from './support/ipv6.ts';
import { type Guest, Lab } from './support/lab.ts';
import type { Background } from './support/processes.ts';
import { until } from './support/until.ts';

const LEASED = /^fd12:3456:0:1::1:[0-9a-f]{1,4}$/;
const SEARCH = ['corp.example', 'example'];
const DUID = 'default-duid "\\000\\004\\001\\002\\003\\004\\005\\006\\007\\010";\n';

const DHCLIENT_SCRIPT = `#!/bin/sh
case $reason in
BOUND6|RENEW6|REBIND6) ip -6 addr replace $new_ip6_address/128 dev eth0;;
RELEASE6|EXPIRE6|STOP6) ip -6 addr del $old_ip6_address/128 dev eth0;;
esac
exit 0
`;

systemSuite('DHCPv6 clients', [...LAB, 'dhclient', 'ping'], function () {
  this.timeout(60_000);
  let lab: Lab;
  let daemon: Daemon;
  let guests: Guest[];

  beforeEach(async () => {
    lab = await Lab.open();
    guests = [await lab.addGuest(), await lab.addGuest()];
    await start();
  });
  afterEach(() => lab.close());

  async function start(...more: string[]): Promise<void> {
    const links = guests.flatMap(({ link }) => ['--listen', link]);
    const search = SEARCH.flatMap((domain) => ['--dns-search', domain]);
    const args = [...links, ...search, '--subnet6', SUBNET6, '--ipv6', 'on', ...more];
    daemon = await lab.startDaemon(args);
  }
  /** TAPs that outlive the daemon, with `more` for the one that starts then. */
  async function startOnLastingTaps(...more: string[]): Promise<void> {
    await daemon.stop('SIGKILL');
    const tap = ['dev', 'eth0', 'mode', 'tap', 'vnet_hdr'];
    for (const guest of guests) await guest.run('ip', 'tuntap', 'add', ...tap);
    await start(...more);
  }

  const [first, second] = [0, 1].map((i) => (): Guest => {
    const guest = guests[i];
    assert.ok(guest !== undefined);
    return guest;
  });
  assert.ok(first !== undefined && second !== undefined);

  /** Up, with an address of the link. */
  async function up(guest: Guest): Promise<void> {
    await guest.run('ip', 'link', 'set', 'eth0', 'up');
    await until('an address of the link', async () => {
      const shown = await guest.run('ip', '-6', 'addr', 'show', 'dev', 'eth0', 'scope', 'link');
      return shown.includes('fe80:') && !shown.includes('tentative');
    });
  }

  interface Running {
    readonly client: Background;
    readonly leaseFile: string;
    /** Arguments that name its files. */
    readonly files: readonly string[];
  }
  interface Lease6 extends Running {
    readonly address: string;
    readonly text: string;
  }

  let runs = 0;

  /** @param before what its lease file has at first */
  function startDhclient(guest: Guest, before: string, ...more: string[]): Running {
    const path = (part: string): string => lab.path(`dhclient-${runs}.${part}`);
    runs++;
    const [conf, script, leaseFile] = [path('conf'), path('script'), path('leases')];
    const asked = 'dhcp6.name-servers, dhcp6.domain-search, dhcp6.sntp-servers, dhcp6.fqdn';
    writeFileSync(conf, `request ${asked};\nsend fqdn.fqdn "vm-one";\n`);
    writeFileSync(leaseFile, before);
    writeFileSync(script, DHCLIENT_SCRIPT);
    chmodSync(script, 0o755);
    const files = ['-cf', conf, '-lf', leaseFile, '-pf', path('pid'), '-sf', script, ...more];
    const client = guest.start(['dhclient', '-6', '-d', ...files, 'eth0']);
    return { client, leaseFile, files };
  }
  /** The last lease of its file, which begins with `before`, once it is one that this client has got. */
  async function dhclient(guest: Guest, before = '', ...more: string[]): Promise<Lease6> {
    const begunS = Math.floor(Date.now() / 1000);
    const running = startDhclient(guest, before, ...more);
    return await until(`${guest.name} to have a lease`, () => {
      const text = readFileSync(running.leaseFile, 'latin1');
      const last = text.slice(text.lastIndexOf('lease6 {'));
      const address = /iaaddr ([\da-f:]+) \{/.exec(last)?.[1];
      const isWhole = last.endsWith('\n}\n') && Number(/starts (\d+)/.exec(last)?.[1]) >= begunS;
      return address !== undefined && isWhole && { ...running, address, text };
    });
  }
  async function leases(): Promise<LeaseView[]> {
    const answer: { leases: LeaseView[] } = JSON.parse(await daemon.request('/v1/leases'));
    return answer.leases;
  }

  it('dhclient: a lease that carries traffic, with parameters; and its release', async () => {
    const guest = first();
    await up(guest);
    const { address, text, client, files } = await dhclient(guest);
    assert.match(address, LEASED);
    assert.ok(text.includes(`option dhcp6.name-servers ${GATEWAY6};`), text);
    assert.ok(text.includes(`option dhcp6.sntp-servers ${GATEWAY6};`), text);
    assert.match(text, /option dhcp6\.domain-search "corp\.example\.", "example\.";/);
    assert.deepEqual(
      (await leases()).map((one) => [one.address, one.hostname]),
      [[address, 'vm-one']],
    );
    assert.equal(await leased(guest), address);
    await guest.run('ping', '-6', '-c', '1', '-W', '5', '-I', address, GATEWAY6);
    await client.stop();
    const releasing = guest.start(['dhclient', '-6', '-r', '-d', ...files, 'eth0']);
    await until('no lease', async () => (await leases()).length === 0).catch((cause: unknown) => {
      throw new Error(releasing.stderr, { cause });
    });
  });

  it('clones with one DUID have two addresses', async () => {
    await Promise.all([up(first()), up(second())]);
    const one = await dhclient(first(), DUID);
    const two = await dhclient(second(), DUID);
    assert.notEqual(one.address, two.address);
    assert.equal((await leases()).length, 2);
    const renewed = await dhclient(first(), DUID);
    assert.equal(renewed.address, one.address);
  });

  it('an installer and its system, with DUIDs of their own, have one address', async () => {
    const guest = first();
    await up(guest);
    const installer = await dhclient(guest, DUID);
    await installer.client.stop();
    const system = await dhclient(guest, '', '-D', 'LLT');
    assert.equal(system.address, installer.address);
    assert.equal((await leases()).length, 1);
  });

  it('a daemon that has started anew, without a lease file, confirms the lease of a guest', async () => {
    const guest = first();
    await startOnLastingTaps();
    await up(guest);
    const { address, text, client } = await dhclient(guest);
    await client.stop();
    await daemon.stop('SIGKILL');
    await start();
    assert.deepEqual(await leases(), []);
    const again = startDhclient(guest, text);
    const [lease] = await until('a lease', async () => {
      const known = await leases();
      return known.length > 0 && known;
    }).catch((cause: unknown) => {
      throw new Error(again.client.stderr, { cause });
    });
    assert.equal(lease?.address, address);
    assert.match(again.client.stderr, /Confirm on eth0/);
    assert.doesNotMatch(again.client.stderr, /Solicit on eth0/);
  });

  /** The lease of a client that has slept for so long: past half of it, it renews it, past four fifths it rebinds it. */
  const aged = (text: string, seconds: number): string =>
    text
      .slice(text.lastIndexOf('lease6 {'))
      .replace(/starts (\d+)/g, (_, at: string) => `starts ${Number(at) - seconds}`);

  it('clones with one DUID renew and rebind their own, after a restart with the lease file too', async () => {
    const clones = [first(), second()];
    const keeping = ['--lease-file', lab.path('kept.json')];
    await startOnLastingTaps(...keeping);
    await Promise.all(clones.map(up));
    let held: Lease6[] = [];
    for (const clone of clones) held.push(await dhclient(clone, DUID));
    const addresses = held.map(({ address }) => address);
    assert.notEqual(addresses[0], addresses[1]);
    for (const [seconds, request, hasRestart] of [
      [2000, 'Renew', false],
      [3000, 'Rebind', false],
      [2000, 'Renew', true],
      [3000, 'Rebind', true],
    ] as const) {
      for (const { client } of held) await client.stop();
      if (hasRestart) {
        assert.equal(await daemon.stop('SIGTERM'), 0);
        await start(...keeping);
        assert.deepEqual(
          (await leases()).map(({ address }) => address).sort(),
          addresses.toSorted(),
        );
      }
      const before = held.map(({ text }) => `${DUID}${aged(text, seconds)}`);
      held = await Promise.all(clones.map((clone, i) => dhclient(clone, before[i])));
      for (const { client } of held) {
        assert.match(client.stderr, new RegExp(`${request} on eth0`));
        assert.doesNotMatch(client.stderr, /Solicit on eth0/);
      }
      assert.deepEqual(
        held.map(({ address }) => address),
        addresses,
      );
      assert.equal((await leases()).length, 2);
    }
  });

  /** In namespaces of processes and mounts, which end with their first process, with directories of its own in place of those of the machine. */
  function isolated(guest: Guest, hidden: readonly string[], argv: readonly string[]): Background {
    const mounts = hidden.map((dir) => `mkdir -p ${dir} && mount -t tmpfs none ${dir}`);
    const script = [...mounts, 'mount -t sysfs -o ro none /sys', '{ "$@"; true; }'].join(' && ');
    const own = [
      'unshare',
      '--mount',
      '--pid',
      '--fork',
      '--kill-child',
      '--mount-proc',
      'sh',
      '-c',
      script,
      'sh',
    ];
    return guest.start([...own, ...argv]);
  }
  const addressesOf = async (guest: Guest): Promise<string[]> => {
    const shown = await guest.run('ip', '-6', 'addr', 'show', 'dev', 'eth0', '-tentative');
    return Array.from(shown.matchAll(/inet6 ([\da-f:]+\/\d+)/g), ([, address = '']) => address);
  };
  const leased = (guest: Guest): Promise<string> =>
    until(`${guest.name} to have a leased address`, async () => {
      const all = await addressesOf(guest);
      return all.find((one) => one.endsWith('/128'))?.slice(0, -'/128'.length);
    });

  itNeeding('dhcpcd, as router advertisements ask of it', ['dhcpcd'], async () => {
    const guest = first();
    await up(guest);
    const conf = lab.path('dhcpcd.conf');
    writeFileSync(conf, 'noipv4\nduid\npersistent\nhostname vm-two\noption domain_name_servers\n');
    const script = lab.path('dhcpcd.script');
    const said = lab.path('dhcpcd.said');
    writeFileSync(script, `#!/bin/sh\n[ "$reason" = BOUND6 ] && env > ${said}\nexit 0\n`);
    chmodSync(script, 0o755);
    const argv = ['dhcpcd', '-6', '-B', '-d', '-f', conf, '-c', script, 'eth0'];
    const client = isolated(guest, ['/var/lib/dhcpcd', '/run/dhcpcd'], argv);
    const address = await leased(guest).catch((error: unknown) => {
      throw new Error(client.stderr, { cause: error });
    });
    assert.match(address, LEASED);
    assert.deepEqual(
      (await leases()).map((one) => one.address),
      [address],
    );
    const about = await until('its script', () => existsSync(said) && readFileSync(said, 'utf8'));
    assert.ok(about.includes(`dhcp6_name_servers=${GATEWAY6}`), about);
  });

  itNeeding(
    'systemd-networkd, as router advertisements ask of it',
    ['systemd-networkd'],
    async () => {
      const guest = first();
      const network = lab.path('eth0.network');
      writeFileSync(network, '[Match]\nName=eth0\n[Network]\nIPv6AcceptRA=yes\n');
      const start = `cp ${network} /run/systemd/network/ && exec /lib/systemd/systemd-networkd`;
      const hidden = ['/run/systemd', '/etc/systemd/network'];
      const dirs = `mkdir -p /run/systemd/network /run/systemd/netif/links && ${start}`;
      const client = isolated(guest, hidden, ['sh', '-c', dirs]);
      const address = await leased(guest).catch((error: unknown) => {
        throw new Error(client.stderr, { cause: error });
      });
      assert.match(address, LEASED);
      assert.deepEqual(
        (await leases()).map((one) => [one.address, one.hostname]),
        [[address, hostname().replace(/\..*/, '')]],
      );
    },
  );
});
