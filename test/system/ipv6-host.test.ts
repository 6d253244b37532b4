/** The host's IPv6 comes and goes, is a black hole, or is not there at all: what guests have of IPv4 never suffers. */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { LAB, systemSuite } from '../support/requirements.ts';
import { Daemon } from './support/daemon.ts';
import {
  addIpv6,
  GATEWAY6,
  HOST6,
  HOST6_OUTER,
  NOWHERE6,
  OUTSIDE6,
  SUBNET6,
  slaacAddress,
} from './support/ipv6.ts';
import { type Guest, HTTP_PORT, Lab, OUTSIDE } from './support/lab.ts';
import { succeed } from './support/processes.ts';
import { until } from './support/until.ts';

const HELD = fileURLToPath(new URL('./support/port-clients-main.js', import.meta.url));
const PUBLISHED = 18_400;
const PUBLISHED_UDP = 18_401;
const PUBLISHED_LOCAL = 18_402;
const PUBLISHED_PEER = 18_403;
const PEER = 7000;
/** Unique local ones of the host and of the outside: no way to the Internet. */
const HOST6_LOCAL = 'fd18::10';
const OUTSIDE6_LOCAL = 'fd18::1';
/** Routed to the outside, which drops it and says nothing. */
const BLACK_HOLE = '2001:db8:77::1';
const SLOW_BYTES = 6_000_000;

systemSuite("the host's IPv6", [...LAB, 'ipv6', 'curl', 'nc', 'ping', 'gcc'], function () {
  this.timeout(60_000);
  let lab: Lab;
  let guest: Guest;
  let daemon: Daemon;

  afterEach(() => assert.ok(daemon.isRunning, daemon.stderr));

  /** What curl says, and the time that it took in s. */
  const curl = async (url: string, ...args: string[]): Promise<[said: string, tookS: number]> => {
    const format = '%{exitcode} %{http_code} %{remote_ip} %{time_total}';
    const options = ['-gsS', '-m', '10', '-o', '/dev/null', '-w', format];
    const { stdout } = await guest.try('curl', ...options, ...args, url);
    const [, said = stdout, took = '0'] = /^(.*) ([\d.]+)$/.exec(stdout) ?? [];
    return [said, Number(took)];
  };
  const got = (address: string): string => `0 200 ${address}`;
  const at = (address: string): string =>
    `http://${address.includes(':') ? `[${address}]` : address}:${HTTP_PORT}/`;
  const hasRoute = async (): Promise<boolean> =>
    (await guest.run('ip', '-6', 'route', 'show', 'default')).includes('default via fe80:');
  const published = (address: string): Promise<string> =>
    lab.host.run('curl', '-gsS', '-m', '5', `http://${address}:${PUBLISHED}/`);

  const ports = [
    `*:${PUBLISHED}:${HTTP_PORT}`,
    `*:${PUBLISHED_UDP}:${HTTP_PORT + 5}/udp`,
    `${PUBLISHED_LOCAL}:${HTTP_PORT}`,
    `*:${PUBLISHED_PEER}:${PEER}`,
  ].flatMap((port) => ['-p', port]);

  describe('comes and goes', () => {
    before(async () => {
      lab = await Lab.open();
      await addIpv6(lab);
      ({ daemon, guest } = await lab.standard(['--subnet6', SUBNET6, ...ports]));
      await lab.startServers(lab.host, '::1');
      await lab.startServers(lab.outside, '::');
      await slaacAddress(guest);
      await lab.startServers(guest, '::');
      await lab.outside.run('ip', 'route', 'add', 'blackhole', '2001:db8:77::/48');
      await until('a default route', hasRoute);
    });
    after(() => lab.close());

    it('while it is there, guests have a default route and reach the outside', async () => {
      assert.equal((await curl(at(OUTSIDE6)))[0], got(OUTSIDE6));
    });

    it('a destination without a route is unreachable at once', async () => {
      const [said, tookS] = await curl(at(NOWHERE6));
      assert.match(said, /^7 000/);
      assert.ok(tookS < 0.5, `${tookS} s`);
    });

    it('a black hole: curl is on IPv4 within 400 ms, and nothing answers for the host before', async () => {
      const hosts = `two.test:${HTTP_PORT}:[${BLACK_HOLE}],${OUTSIDE}`;
      const [said, tookS] = await curl(`http://two.test:${HTTP_PORT}/`, '--resolve', hosts);
      assert.equal(said, got(OUTSIDE));
      assert.ok(tookS < 0.4, `${tookS} s`);
      const alone = await curl(at(BLACK_HOLE), '--connect-timeout', '2');
      assert.match(alone[0], /^28 000/, 'the SYN stays held');
    });

    it('what flows over IPv6 survives its loss for a moment, and what flows over IPv4 notices nothing', async () => {
      const get = (address: string): Promise<string> => {
        const url = `${at(address)}bytes/${SLOW_BYTES}?seed=1`;
        const args = ['-gsS', '-m', '40', '--limit-rate', '2M', '-o', '/dev/null'];
        return guest.run('curl', ...args, '-w', '%{size_download}', url);
      };
      const both = Promise.all([get(OUTSIDE6), get(OUTSIDE)]);
      await until('the flows', async () => (await daemon.flows()).length >= 2);
      await lab.host.run('ip', 'addr', 'del', `${HOST6_OUTER}/64`, 'dev', 'up0');
      await until('the loss to be announced', async () => !(await hasRoute()));
      await lab.host.run('ip', 'addr', 'add', `${HOST6_OUTER}/64`, 'dev', 'up0', 'nodad');
      await lab.host.run('ip', 'route', 'replace', 'default', 'via', OUTSIDE6);
      assert.deepEqual(await both, [`${SLOW_BYTES}`, `${SLOW_BYTES}`]);
      await until('the return to be announced', hasRoute);
      assert.equal((await curl(at(OUTSIDE6)))[0], got(OUTSIDE6));
    });

    it('gone: no route, at once; the prefix, the host and published ports stay', async () => {
      await lab.host.run('ip', 'addr', 'del', `${HOST6_OUTER}/64`, 'dev', 'up0');
      await until('the loss to be announced', async () => !(await hasRoute()));
      const [said, tookS] = await curl(at(OUTSIDE6));
      assert.match(said, /^7 000/);
      assert.ok(tookS < 0.5, `${tookS} s`);
      assert.equal((await curl(at(OUTSIDE)))[0], got(OUTSIDE));
      assert.equal((await curl(at(HOST6)))[0], got(HOST6));
      await slaacAddress(guest);
      assert.equal(await published('[::1]'), 'hello from the host\n');
      assert.equal(await published('127.0.0.1'), 'hello from the host\n');
    });

    it("without a route for its answers, a guest sees a client of the host's local network as the gateway", async () => {
      await lab.host.run('ip', 'addr', 'add', `${HOST6_LOCAL}/64`, 'dev', 'up0', 'nodad');
      await lab.outside.run('ip', 'addr', 'add', `${OUTSIDE6_LOCAL}/64`, 'dev', 'up0', 'nodad');
      guest.start([process.execPath, HELD, 'peer-names', String(PEER)]);
      const command = `nc -N ${HOST6_LOCAL} ${PUBLISHED_PEER} </dev/null`;
      const seen = await until('an answer', async () => {
        const said = await lab.outside.run('sh', '-c', command);
        return said !== '' && said;
      });
      assert.equal(seen, `${GATEWAY6}\n`);
      assert.equal(await hasRoute(), false);
    });
  });

  const withoutIpv6 = (): void => {
    it('guests reach IPv4, the gateway by IPv6, and by the host address the other loopback', async () => {
      assert.equal((await curl(at(OUTSIDE)))[0], got(OUTSIDE));
      for (const address of [GATEWAY6, HOST6]) {
        const { stdout } = await guest.try(
          'ping',
          '-6',
          '-c',
          '2',
          '-i',
          '0.2',
          '-W',
          '2',
          address,
        );
        assert.match(stdout, / 2 received/, address);
      }
      assert.equal((await curl(at(HOST6)))[0], got(HOST6));
      const args = ['udp', HOST6, String(HTTP_PORT + 5), '100'];
      const { got: echoed } = JSON.parse(await guest.run(process.execPath, HELD, ...args));
      assert.equal(echoed, 'equal');
    });

    it('guests have no default route, and who asks all the same has an answer at once', async () => {
      assert.equal(await hasRoute(), false);
      await guest.run('ip', '-6', 'route', 'add', 'default', 'via', GATEWAY6, 'dev', 'eth0');
      const [said, tookS] = await curl(at(OUTSIDE6));
      assert.match(said, /^7 000/);
      assert.ok(tookS < 0.5, `${tookS} s`);
      const { stdout } = await guest.try('ping', '-6', '-c', '1', '-W', '2', OUTSIDE6);
      assert.match(stdout, new RegExp(`From ${GATEWAY6} .*No route`));
    });

    it('ports of every address and of localhost are published, TCP and UDP', async () => {
      assert.equal(await published('127.0.0.1'), 'hello from the host\n');
      const args = ['udp', '127.0.0.1', String(PUBLISHED_UDP), '100'];
      const { got: echoed } = JSON.parse(await lab.host.run(process.execPath, HELD, ...args));
      assert.equal(echoed, 'equal');
      const url = `http://127.0.0.1:${PUBLISHED_LOCAL}/`;
      assert.equal(await lab.host.run('curl', '-gsS', '-m', '5', url), 'hello from the host\n');
    });

    it('the log says so once', () => {
      assert.equal(daemon.stderr.split('this host has no IPv6').length, 2, daemon.stderr);
      assert.doesNotMatch(daemon.stderr, /"level":"(error|fatal)"|ERROR|FATAL/);
    });
  };

  describe('is disabled', () => {
    before(async () => {
      lab = await Lab.open();
      await lab.host.run('sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=1');
      await lab.host.run('sysctl', '-qw', 'net.ipv6.conf.lo.disable_ipv6=1');
      const log = ['--log-level', 'info'];
      ({ daemon, guest } = await lab.standard(['--subnet6', SUBNET6, ...log, ...ports]));
      await lab.startServers(lab.outside);
      await lab.startServers(guest, '0.0.0.0');
      await slaacAddress(guest);
    });
    after(() => lab.close());
    withoutIpv6();
  });

  describe('is refused, by RestrictAddressFamilies=AF_UNIX AF_INET', () => {
    before(async () => {
      lab = await Lab.open();
      const restrict = lab.path('restrict-families');
      await succeed(['gcc', '-O2', '-o', restrict, 'test/system/support/restrict-families.c']);
      guest = await lab.addGuest();
      await lab.startServers(lab.host);
      await lab.startServers(lab.outside);
      const args = ['--subnet6', SUBNET6, '--log-level', 'info', '--listen', guest.link, ...ports];
      const argv = lab.host.enter([restrict, ...Daemon.command(args)]);
      daemon = new Daemon(argv, { XDG_RUNTIME_DIR: lab.dir }, lab.path('hawser'));
      lab.track(daemon);
      await daemon.ready();
      await guest.lease();
      await lab.startServers(guest, '0.0.0.0');
      await slaacAddress(guest);
    });
    after(() => lab.close());
    withoutIpv6();
  });
});
