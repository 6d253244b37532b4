/** A guest whose names come from a server that hawser asks over TLS alone: BIND, outside. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { prepareBind } from '../proxy/dns/bind.ts';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { GATEWAY, type Guest, Lab, OUTSIDE } from './support/lab.ts';
import { until } from './support/until.ts';

const MAIN = fileURLToPath(new URL('../../bin/hawser.js', import.meta.url));
const PORTS = { port: 5300, tlsPort: 853, httpsPort: 443 };

systemSuite('name servers over TLS and HTTPS', [...LAB, 'dig', 'named', 'openssl'], function () {
  this.timeout(60_000);
  let lab: Lab;
  let guest: Guest;
  let daemon: Daemon | undefined;

  before(async () => {
    lab = await Lab.open();
    const directory = lab.path('named');
    mkdirSync(directory);
    const { command, certificate } = prepareBind({ directory, address: OUTSIDE, ...PORTS });
    writeFileSync(lab.path('authority.pem'), certificate);
    lab.outside.start(command);
    await until('BIND', async () =>
      (await lab.outside.run('ss', '-Hltn')).includes(`${OUTSIDE}:443 `) ? true : undefined,
    );
    mkdirSync(lab.path('etc'));
    for (const name of ['passwd', 'group']) cpSync(`/etc/${name}`, lab.path(`etc/${name}`));
    writeFileSync(lab.path('etc/nsswitch.conf'), 'hosts: files\n');
    guest = await lab.addGuest();
  });
  after(() => lab.close());
  afterEach(() => daemon?.stop('SIGTERM'));

  async function start(...args: readonly string[]): Promise<void> {
    const environment = { NODE_EXTRA_CA_CERTS: lab.path('authority.pem') };
    writeFileSync(lab.path('etc/hosts'), '');
    const all = ['--listen', guest.link, ...args];
    daemon = await lab.startDaemon(all, lab.path('etc'), environment);
    await guest.lease();
  }
  const dig = async (...args: readonly string[]): Promise<string> =>
    (await guest.run('dig', `@${GATEWAY}`, '+tries=1', '+timeout=6', ...args)).trim();

  for (const server of [
    `tls://${OUTSIDE}#dns.example`,
    `https://${OUTSIDE}/dns-query#dns.example`,
  ]) {
    it(`${server.replace(/:.*/, '')}: dig by UDP and TCP, with all of the sandbox`, async () => {
      await start('--dns', server, '--sandbox', 'strict');
      assert.equal(await dig('+short', 'v4only.test.example'), '192.0.2.9');
      assert.equal(await dig('+short', '+tcp', 'mail.test.example'), '192.0.2.3');
      assert.match(await dig('+dnssec', 'txt.test.example', 'TXT'), /flags: do[\s\S]*"one" "two"/);
      assert.match(await dig('+tcp', 'big.test.example', 'TXT'), /ANSWER: 40/);
      assert.match(await dig('none.test.example'), /status: NXDOMAIN/);
    });
  }

  for (const server of ['tls://dns.example', 'https://dns.example/dns-query']) {
    it(`${server}: is asked as soon as the host knows its address, with all of the sandbox`, async () => {
      await start('--dns', server, '--sandbox', 'strict');
      assert.match(await dig('v4only.test.example'), /status: SERVFAIL/);
      writeFileSync(lab.path('etc/hosts'), `${OUTSIDE} dns.example\n`);
      assert.equal(await dig('+short', 'v4only.test.example'), '192.0.2.9');
    });
  }

  it('is in the log of queries, with who asked, what came and after how long', async () => {
    await start('--dns', `https://${OUTSIDE}/dns-query#dns.example`);
    const log = lab.host.start(
      [process.execPath, MAIN, 'events', '--follow', '--types', 'dns', '--json'],
      { env: { XDG_RUNTIME_DIR: lab.dir } },
    );
    await until('a line of the log', async () => {
      await dig('mail.test.example');
      return log.stdout.includes('\n') ? true : undefined;
    });
    await log.stop();
    const { query } = JSON.parse(log.stdout.split('\n')[0] ?? '');
    const { name, type, rcode, verdict, addresses, answers } = query;
    assert.deepEqual(
      { name, type, rcode, verdict, addresses, answers },
      {
        ...{ name: 'mail.test.example', type: 'A', rcode: 'NOERROR', verdict: 'allowed' },
        ...{ addresses: ['192.0.2.3'], answers: 1 },
      },
    );
    assert.ok(
      query.source === 'cache' || query.upstream === `https://${OUTSIDE}:443/dns-query#dns.example`,
    );
    assert.ok(query.durationMs >= 0 && query.guestMac !== null);
  });

  it('is not asked where its certificate is for another, which the log says once', async () => {
    await start('--dns', `https://${OUTSIDE}/dns-query#other.example`);
    for (const name of ['one.test.example', 'two.test.example']) {
      assert.match(await dig(name), /status: SERVFAIL/);
    }
    const told = daemon?.stderr.match(/its certificate is not for other\.example/g);
    assert.equal(told?.length, 1);
  });
});
