/** A guest on a host whose resolver is systemd-resolved, which knows a domain of another server: a VPN's. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { LAB, systemSuite } from '../support/requirements.ts';
import { GATEWAY, type Guest, HOST_OUTER, Lab, OUTSIDE } from './support/lab.ts';
import type { Background } from './support/processes.ts';
import { startResolved } from './support/resolved.ts';
import { until } from './support/until.ts';

const MAIN = fileURLToPath(new URL('../../bin/hawser.js', import.meta.url));
const VPN = '198.18.0.2';

systemSuite(
  'a host with the stub of systemd-resolved',
  [...LAB, 'dig', 'dnsmasq', 'systemd-resolved'],
  function () {
    this.timeout(60_000);
    let lab: Lab;
    let guest: Guest;
    let general: Background;
    let vpn: Background;
    let log: Background;

    const serve = (address: string, ...records: readonly string[]): Background =>
      lab.outside.start([
        ...['dnsmasq', '-k', '-u', 'root', '--pid-file=', '--no-resolv', '--no-hosts'],
        ...['-C', '/dev/null', '--bind-interfaces', `--listen-address=${address}`],
        ...['--log-queries', '--log-facility=-', ...records],
      ]);
    const dig = async (...args: readonly string[]): Promise<string> =>
      (await guest.run('dig', `@${GATEWAY}`, '+tries=1', '+timeout=4', ...args)).trim();
    /** Which server was asked for `name` last. */
    const asked = async (name: string): Promise<string> =>
      await until(`the log of ${name}`, () => {
        const lines = log.stdout.split('\n').filter((line) => line.endsWith('}'));
        const query = lines.map((line) => JSON.parse(line).query).find((one) => one.name === name);
        return typeof query?.upstream === 'string' ? query.upstream : undefined;
      });

    before(async () => {
      lab = await Lab.open();
      await lab.outside.run('ip', 'addr', 'add', `${VPN}/32`, 'dev', 'lo');
      general = serve(OUTSIDE, '--address=/public.example/192.0.2.1');
      vpn = serve(VPN, '--address=/corp.example/192.0.2.2');
      await until('dnsmasq', async () => {
        const sockets = await lab.outside.run('ss', '-Hlun');
        return [OUTSIDE, VPN].every((address) => sockets.includes(`${address}:53 `)) || undefined;
      });
      const shown = await lab.host.run('ip', '-o', 'addr', 'show', 'to', HOST_OUTER);
      const link = Number(/^\d+/.exec(shown)?.[0]);
      const state = `SERVERS=${VPN}\nDOMAINS=~corp.example\n`;
      await lab.host.run('ip', 'route', 'add', `${VPN}/32`, 'via', OUTSIDE);
      await startResolved(lab, lab.host, [`DNS=${OUTSIDE}`], new Map([[link, state]]));
      writeFileSync(lab.path('resolv.conf'), 'nameserver 127.0.0.53\noptions edns0 trust-ad\n');
      guest = await lab.addGuest();
      const follows = ['--resolv-conf', lab.path('resolv.conf')];
      await lab.startDaemon(['--listen', guest.link, ...follows]);
      await guest.lease();
      log = lab.host.start(
        [process.execPath, MAIN, 'events', '--follow', '--types', 'dns', '--json'],
        { env: { XDG_RUNTIME_DIR: lab.dir } },
      );
      await until('the log', async () => {
        await dig('first.public.example');
        return log.stdout.includes('\n') ? true : undefined;
      });
    });
    after(() => lab.close());

    it('is asked, and knows which server knows what', async () => {
      assert.equal(await dig('+short', 'a.public.example'), '192.0.2.1');
      assert.equal(await dig('+short', 'a.corp.example'), '192.0.2.2');
      assert.equal(await asked('a.corp.example'), '127.0.0.53#53');
      assert.match(vpn.stderr + vpn.stdout, /a\.corp\.example/);
      assert.doesNotMatch(general.stderr + general.stdout, /corp\.example/);
    });

    it('is passed by for its pass-through with DNSSEC, which knows the same', async () => {
      assert.match(await dig('+dnssec', 'b.corp.example'), /192\.0\.2\.2/);
      assert.equal(await asked('b.corp.example'), '127.0.0.54#53');
      assert.match(await dig('+cdflag', 'c.public.example'), /192\.0\.2\.1/);
      assert.equal(await asked('c.public.example'), '127.0.0.54#53');
      assert.doesNotMatch(general.stderr + general.stdout, /corp\.example/);
    });
  },
);
