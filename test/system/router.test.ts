/** What real kernels and clients make of the router that a daemon announces, and of the host's IPv6 that comes and goes. */
import assert from 'node:assert/strict';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { type Guest, Lab } from './support/lab.ts';
import type { CommandResult } from './support/processes.ts';
import { until } from './support/until.ts';

const SUBNET6 = 'fd12:3456:0:1::/64';
const GATEWAY6 = 'fd12:3456:0:1::1';
const HOST6 = 'fd12:3456:0:1::254';
const ROUTER = 'fe80::5894:efff:fee4:cdd';
const HOST6_OUTER = '2001:db8:18::10';
const OUTSIDE6 = '2001:db8:18::1';
const ROUTER_LIFETIME_S = 1_800;
/** A change of the host's is announced within this time; guests know it then. */
const FOLLOW_MS = 3_000;

systemSuite('the router of a real guest', [...LAB, 'ipv6', 'rdisc6', 'ping', 'nc'], function () {
  this.timeout(60_000);
  let lab: Lab;
  let guest: Guest;
  let daemon: Daemon;

  const gain = async (): Promise<void> => {
    await lab.host.run('ip', 'addr', 'add', `${HOST6_OUTER}/64`, 'dev', 'up0', 'nodad');
    await lab.host.run('ip', 'route', 'replace', 'default', 'via', OUTSIDE6);
  };
  const lose = (): Promise<string> =>
    lab.host.run('ip', 'addr', 'del', `${HOST6_OUTER}/64`, 'dev', 'up0');
  const routes = (where: Guest = guest): Promise<string> => where.run('ip', '-6', 'route');
  const addresses = (where: Guest = guest): Promise<string> =>
    where.run('ip', '-6', 'addr', 'show', 'dev', 'eth0', 'scope', 'global');
  /** Of the kernel's own making, past duplicate address detection. */
  const hasAddress = async (where: Guest = guest): Promise<boolean> => {
    const text = await addresses(where);
    return /inet6 fd12:3456:0:1:\S+\/64 scope global dynamic mngtmpaddr/.test(text);
  };
  const hasRoute = async (where: Guest = guest): Promise<boolean> =>
    new RegExp(`^default via ${ROUTER} dev eth0 proto ra `, 'm').test(await routes(where));

  /** Once the guest has an address to ask from. */
  const rdisc6 = async (...args: string[]): Promise<CommandResult> => {
    await until('a link-local address', async () => {
      const text = await guest.run('ip', '-6', 'addr', 'show', 'dev', 'eth0');
      return /inet6 fe80:\S+ scope link\s*$/m.test(text);
    });
    return await guest.try('rdisc6', '-1', '-r', '1', '-w', '2000', ...args, 'eth0');
  };

  async function start(...args: string[]): Promise<void> {
    guest = await lab.addGuest();
    daemon = await lab.startDaemon(['--listen', guest.link, '--subnet6', SUBNET6, ...args]);
  }
  beforeEach(async () => {
    lab = await Lab.open();
    await lab.outside.run('ip', 'addr', 'add', `${OUTSIDE6}/64`, 'dev', 'up0', 'nodad');
  });
  afterEach(async () => {
    assert.ok(daemon.isRunning, daemon.stderr);
    await lab.close();
  });

  it('the kernel makes an address and reaches the gateway; without IPv6 on the host there is no default route', async () => {
    await start();
    await until('an address', hasAddress);
    assert.match(await routes(), /^fd12:3456:0:1::\/64 dev eth0 proto kernel/m);
    assert.ok(!(await hasRoute()));
    const { stdout } = await guest.try('ping', '-6', '-c', '1', '-W', '2', GATEWAY6);
    assert.match(stdout, / 1 received/);
  });

  it("the default route follows the host's IPv6 as that comes, goes and comes back; the address stays", async () => {
    await start();
    await until('an address', hasAddress);
    const before = await addresses();
    await gain();
    await until('a default route', hasRoute, FOLLOW_MS);
    await lose();
    await until('no default route', async () => !(await hasRoute()), FOLLOW_MS);
    assert.ok(await hasAddress());
    await gain();
    await until('a default route again', hasRoute, FOLLOW_MS);
    const [was = '', is = ''] = [before, await addresses()].map(
      (text) => /inet6 \S+/.exec(text)?.[0],
    );
    assert.equal(is, was);
  });

  it('a guest that forwards takes the route with accept_ra=2 alone, as dockerd needs it', async () => {
    await start('--ipv6', 'on');
    await guest.run('sysctl', '-qw', 'net.ipv6.conf.all.forwarding=1');
    await guest.try('ip', '-6', 'route', 'del', 'default');
    await rdisc6();
    assert.ok(!(await hasRoute()));
    await guest.run('sysctl', '-qw', 'net.ipv6.conf.eth0.accept_ra=2');
    await rdisc6();
    await until('a default route', hasRoute, FOLLOW_MS);
  });

  it('the route of a guest that forwards is renewed by advertisements that nobody asked for', async () => {
    await start('--ipv6', 'on');
    await guest.run('sysctl', '-qw', 'net.ipv6.conf.eth0.accept_ra=2');
    await guest.run('sysctl', '-qw', 'net.ipv6.conf.all.forwarding=1'); // it solicits no more
    await rdisc6();
    const leftS = async (): Promise<number> =>
      Number(/^default .* expires (\d+)sec/m.exec(await routes())?.[1]);
    await until(
      'some of the lifetime to pass',
      async () => (await leftS()) < ROUTER_LIFETIME_S - 1,
    );
    await until('all of it again', async () => (await leftS()) >= ROUTER_LIFETIME_S - 1, 40_000);
  });

  it('with --ipv6 on there is a default route whatever the host has', async () => {
    await start('--ipv6', 'on');
    await until('a default route', hasRoute);
  });

  it('with --ipv6 off nothing is announced', async () => {
    await start('--ipv6', 'off');
    const { status, stderr } = await rdisc6();
    assert.equal(status, 2, stderr);
    assert.ok(!(await hasAddress()));
  });

  it('with an MTU below 1280 there is no IPv6, and the log says so', async () => {
    await start('--mtu', '1279', '--log-level', 'info');
    const log = `${daemon.stdout}${daemon.stderr}`;
    assert.match(log, /guests have no IPv6: it needs an MTU of 1280 or more/);
  });

  for (const [mode, expected] of [
    ['both', [/Stateful address conf\.\s*:\s*Yes/, /Autonomous address conf\.:\s*Yes/]],
    ['slaac', [/Stateful address conf\.\s*:\s*No/, /Autonomous address conf\.:\s*Yes/]],
    ['dhcp', [/Stateful address conf\.\s*:\s*Yes/, /Autonomous address conf\.:\s*No/]],
  ] as const) {
    it(`rdisc6 is answered at once, and reads all of it: --ipv6-mode ${mode}`, async () => {
      await start('--ipv6-mode', mode, '--ipv6', 'on', '--dns-search', 'corp.example', '--nat64');
      const text = (await rdisc6()).stdout;
      for (const form of [
        ...expected,
        /Stateful other conf\.\s*:\s*Yes/,
        /Router lifetime\s*:\s*1800 /,
        /Prefix\s*:\s*fd12:3456:0:1::\/64/,
        /On-link\s*:\s*Yes/,
        /Recursive DNS server\s*:\s*fd12:3456:0:1::1/,
        /DNS search list\s*:\s*corp\.example/,
        /MTU\s*:\s*1500 bytes/,
        /Source link-layer address:\s*5A:94:EF:E4:0C:DD/,
        new RegExp(`from ${ROUTER}`),
      ]) {
        assert.match(text, form);
      }
    });
  }

  it('a guest that re-attaches to another daemon has its advertisement at once, unasked', async () => {
    const socket = lab.path('vm.sock');
    const run = (...args: string[]): Promise<Daemon> =>
      lab.startDaemon(['--listen', `qemu:${socket}`, '--subnet6', SUBNET6, ...args]);
    guest = await lab.addGuest({ bridgeTo: socket });
    const first = await run();
    await guest.plug();
    await until('an address', hasAddress);
    assert.ok(!(await hasRoute()));
    await first.stop();
    daemon = await run('--ipv6', 'on');
    await until('a default route', hasRoute, FOLLOW_MS);
  });

  describe('addresses of guests', () => {
    let other: Guest;
    beforeEach(async () => {
      guest = await lab.addGuest();
      other = await lab.addGuest();
      const links = ['--listen', guest.link, '--listen', other.link];
      daemon = await lab.startDaemon([...links, '--subnet6', SUBNET6]);
      await until('an address', hasAddress);
    });
    const shown = (where: Guest): Promise<string> =>
      where.run('ip', '-6', 'addr', 'show', 'dev', 'eth0');
    const take = (where: Guest, address: string): Promise<string> =>
      where.run('ip', 'addr', 'add', `${address}/64`, 'dev', 'eth0');
    const fails = (where: Guest, address: string): Promise<boolean> =>
      until(`${address} to be refused`, async () =>
        new RegExp(`inet6 ${address}/64 .*dadfailed`).test(await shown(where)),
      );
    const holds = (where: Guest, address: string): Promise<boolean> =>
      until(`${address} to be accepted`, async () =>
        new RegExp(`inet6 ${address}/64 scope global\\s*$`, 'm').test(await shown(where)),
      );

    it("duplicate address detection of the kernel's finds those of the gateway", async () => {
      for (const address of [GATEWAY6, HOST6]) {
        await take(guest, address);
        await fails(guest, address);
      }
    });

    it("and one of another guest's, which goes on", async () => {
      const address = 'fd12:3456:0:1::77';
      await take(guest, address);
      await holds(guest, address);
      await take(other, address);
      await fails(other, address);
      const { stdout } = await guest.try(
        'ping',
        '-6',
        '-c',
        '1',
        '-W',
        '2',
        '-I',
        address,
        GATEWAY6,
      );
      assert.match(stdout, / 1 received/);
    });

    it('temporary addresses (RFC 8981) reach the gateway as any', async () => {
      await other.run('sysctl', '-qw', 'net.ipv6.conf.eth0.use_tempaddr=2');
      await other.try('rdisc6', '-1', 'eth0');
      const temporary = await until('a temporary address', async () => {
        const text = await other.run('ip', '-6', 'addr', 'show', 'dev', 'eth0', 'temporary');
        return /inet6 (\S+)\/64 scope global temporary dynamic/.exec(text)?.[1];
      });
      const { stdout } = await other.try(
        'ping',
        '-6',
        '-c',
        '1',
        '-W',
        '5',
        '-I',
        temporary,
        GATEWAY6,
      );
      assert.match(stdout, / 1 received/);
    });

    it('guests reach each other by the addresses that they make', async () => {
      const address = await until(
        'the other address',
        async () =>
          /inet6 (fd12:\S+)\/64 scope global dynamic mngtmpaddr/.exec(await shown(other))?.[1],
      );
      const { stdout } = await guest.try('ping', '-6', '-c', '2', '-i', '0.2', '-W', '2', address);
      assert.match(stdout, / 2 received/);
    });
  });

  it("with --subnet6 host the host's own network is announced off-link", async () => {
    await gain();
    await start('--subnet6', 'host');
    await until('a default route', hasRoute);
    assert.match(await addresses(), /inet6 2001:db8:18:0:\S+\/64 scope global/);
    assert.doesNotMatch(await routes(), /^2001:db8:18::\/64 dev/m);
    const text = (await rdisc6()).stdout;
    assert.match(text, /On-link\s*:\s*No/);
  });

  it('... and guests reach each other by the gateway, their router', async () => {
    await gain();
    const other = await lab.addGuest();
    await start('--listen', other.link, '--subnet6', 'host');
    await until('two default routes', async () => (await hasRoute()) && (await hasRoute(other)));
    const address = await until('the other address', async () => {
      const text = await addresses(other);
      return /inet6 (2001:db8:18:\S+)\/64 scope global dynamic/.exec(text)?.[1];
    });
    await until('a ping', async () => {
      const { stdout } = await guest.try('ping', '-6', '-c', '1', '-W', '1', address);
      return / 1 received/.test(stdout) && /ttl=63/.test(stdout);
    });
    const sink = other.run('sh', '-c', 'nc -6 -l 9000 | sha256sum');
    await until('a listener', async () => (await other.run('ss', '-Hltn')).includes(':9000 '));
    const noise = 'head -c 20000000 /dev/urandom | tee /dev/fd/3';
    const send = `{ ${noise} | nc -6 -N -w 20 ${address} 9000 >/dev/null; } 3>&1 | sha256sum`;
    assert.equal(await guest.run('sh', '-c', send), await sink);
  });
});
