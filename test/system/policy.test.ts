/** A guest that may reach some names and addresses, and what it tries to reach others: a real kernel, real clients. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { GATEWAY, type Guest, HOST, HTTP_PORT, Lab, OUTSIDE } from './support/lab.ts';
import { type Background, succeed } from './support/processes.ts';
import { until } from './support/until.ts';

const OTHER = '198.18.0.2';
const PLAIN = '198.18.0.3';
const PRIVATE = '10.0.0.9';
const DENIED_MS = 100;
const MAIN = fileURLToPath(new URL('../../bin/hawser.js', import.meta.url));
const SEND_UDP = `const [to, port] = process.argv.slice(1);
  const s = require('dgram').createSocket('udp4');
  s.send('x', Number(port), to, () => s.close());`;
const NAMED_MAIN = fileURLToPath(new URL('./support/named-main.js', import.meta.url));

const POLICY = `default: deny
rules:
  - allow: { name: a.test, port: [25, 80, 443], protocol: tcp }
  - allow: { name: '*.w.test', port: 443 }
  - allow: { name: given.v.test, port: 443, protocol: tcp }
  - reject: { cidr: ${PLAIN}, port: 25 }
  - drop: { cidr: ${PLAIN}, port: 80 }
  - allow: { cidr: ${PLAIN}, protocol: tcp }
  - allow: { to: host, port: ${HTTP_PORT}, protocol: tcp }
  - allow: { guest: named, cidr: ${OTHER}, protocol: icmp }
`;

systemSuite('egress policy', [...LAB, 'curl', 'dig', 'dnsmasq', 'openssl', 'ping'], function () {
  this.timeout(60_000);

  let lab: Lab;
  let guest: Guest;
  let other: Guest;
  let daemon: Daemon;
  let upstream: Background;
  let servers: Background;

  before(async () => {
    lab = await Lab.open();
    for (const address of [OTHER, PLAIN]) {
      await succeed(['ip', '-n', lab.outside.name, 'addr', 'add', `${address}/24`, 'dev', 'up0']);
    }
    await succeed(['ip', '-n', lab.outside.name, 'addr', 'add', `${PRIVATE}/32`, 'dev', 'up0']);
    writeFileSync(lab.path('hosts'), `${PRIVATE} given.v.test\n`);
    const keys = [lab.path('key.pem'), lab.path('cert.pem')];
    await lab.outside.run(
      ...['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
      ...['-nodes', '-subj', '/CN=a.test', '-days', '1'],
      ...['-keyout', lab.path('key.pem'), '-out', lab.path('cert.pem')],
    );
    servers = lab.outside.start([process.execPath, NAMED_MAIN, '0.0.0.0', ...keys]);
    await servers.prints(/serving/);
    upstream = lab.outside.start([
      ...['dnsmasq', '-k', '-u', 'root', '--pid-file=', '--no-resolv', '--no-hosts', '-C'],
      ...['/dev/null', '--log-queries', '--log-facility=-', '--local-ttl=300'],
      ...[`--address=/a.test/b.test/w.test/${OUTSIDE}`, `--address=/evil.test/${OTHER}`],
      `--address=/rebind.w.test/${PRIVATE}`,
    ]);
    await until('dnsmasq', async () => (await lab.outside.run('ss', '-Hlun')).includes(':53 '));
    await lab.startServers(lab.host);
    guest = await lab.addGuest();
    other = await lab.addGuest();
    writeFileSync(lab.path('policy.yaml'), POLICY);
    daemon = await lab.startDaemon(options());
    await guest.lease();
    await other.lease();
  });
  after(() => lab.close());

  const options = (): readonly string[] => [
    ...['--listen', guest.link, '--listen', other.link, '--dns', OUTSIDE],
    ...['--policy', lab.path('policy.yaml'), '--guest-api', 'on', '--hosts', lab.path('hosts')],
    ...['--lease-file', lab.path('leases.json'), '--audit-log', lab.path('audit.log')],
  ];
  const dig = async (...args: readonly string[]): Promise<string> =>
    await guest.run('dig', `@${GATEWAY}`, '+tries=1', '+timeout=2', ...args);
  /** On a busy machine a denial may take its time once. */
  const curl = async (by: Guest, ...args: readonly string[]): Promise<string> => {
    const first = await curlOnce(by, ...args);
    return first.endsWith(' late') ? await curlOnce(by, ...args) : first;
  };
  const curlOnce = async (by: Guest, ...args: readonly string[]): Promise<string> => {
    const options = ['-sS', '-k', '-m', '5', '-w', ' %{time_total}'];
    const { stdout, status } = await by.try('curl', ...options, ...args);
    const [seconds = ''] = /[\d.]+$/.exec(stdout) ?? [];
    const took = Number(seconds) * 1_000 <= DENIED_MS ? 'soon' : 'late';
    return status === 0 ? `0 ${stdout.split('\n')[0]}` : `${status} ${took}`;
  };
  const to = (name: string, port = 443, address = OUTSIDE): readonly string[] => [
    ...['--resolve', `${name}:${port}:${address}`],
    `${port === 80 ? 'http' : 'https'}://${name}:${port}/`,
  ];
  const argvOf = (...args: readonly string[]): readonly string[] => [
    ...['env', `XDG_RUNTIME_DIR=${lab.dir}`, process.execPath, MAIN, ...args],
  ];
  const hawser = async (...args: readonly string[]): Promise<string> =>
    await lab.host.run(...argvOf(...args));

  it('an allowed name is reached once it was asked for, and by nobody else', async () => {
    assert.equal(await curl(guest, ...to('a.test')), '7 soon');
    assert.match(await dig('+short', 'a.test'), new RegExp(OUTSIDE));
    assert.equal(await curl(guest, ...to('a.test')), '0 host a.test');
    assert.equal(await curl(guest, ...to('a.test', 80)), '0 host a.test:80'.replace(':80', ''));
    assert.equal(await curl(other, ...to('a.test')), '7 soon');
  });

  it('the audit log has the name that was stated, and the rule', async () => {
    const found = await until('the end of the flow', () =>
      readFileSync(lab.path('audit.log'), 'utf8')
        .split('\n')
        .find((line) => /"kind":"ended".*"remotePort":443.*"evidence":"sni"/.test(line)),
    );
    assert.match(found, /"name":"a\.test"/);
    assert.match(found, /"rule":"allow a\.test:25,80,443\/tcp"/);
  });

  it('the address of an allowed name under another name, or none, is reset', async () => {
    assert.match(await curl(guest, ...to('evil.test')), /^35 soon/);
    assert.match(await curl(guest, `https://${OUTSIDE}/`), /^35 soon/);
    const asked = await curl(guest, '-H', 'Host: evil.test', ...to('a.test', 80));
    assert.equal(asked.replace(/ [\d.]+$/, ''), '0 evil.test was not looked up to come here');
  });

  for (const args of [[], ['+tcp'], ['-t', 'TXT'], ['-t', 'NULL'], ['-t', 'MX']]) {
    it(`a denied name does not exist, and never leaves: ${args.join(' ')}`, async () => {
      const answer = await dig(...args, 'secret.evil.test');
      assert.match(answer, /status: NXDOMAIN/);
      assert.match(answer, /EDE: 15 \(Blocked\).*default: deny/);
      const [, ttl = ''] = /^secret\.evil\.test\.\s+(\d+)\s+IN\s+SOA/m.exec(answer) ?? [];
      assert.ok(ttl !== '' && Number(ttl) <= 5, answer);
      assert.doesNotMatch(upstream.stderr + upstream.stdout, /evil/);
    });
  }

  it('above an allowed name there is no data, pointers are denied, and aliases of types', async () => {
    assert.match(await dig('w.test'), /status: NOERROR.*(.|\n)*ANSWER: 0/);
    assert.match(await dig('+short', 'x.y.w.test'), new RegExp(OUTSIDE));
    assert.match(await dig('-x', OTHER), /status: NXDOMAIN/);
    assert.match(await dig('-t', 'NULL', 'a.test'), /status: NOERROR.*(.|\n)*ANSWER: 0/);
    assert.match(
      await dig('-t', 'SVCB', '_dns.resolver.arpa'),
      /status: NOERROR.*(.|\n)*ANSWER: 0/,
    );
    assert.doesNotMatch(upstream.stderr + upstream.stdout, /NULL|in-addr|resolver/);
  });

  it('a name that leads into a private network opens nothing there', async () => {
    const answer = await dig('rebind.w.test');
    assert.match(answer, /status: NOERROR.*(.|\n)*ANSWER: 0/);
    assert.match(answer, /EDE: 15 \(Blocked\).*of the host or of private networks/);
    assert.equal(await curl(guest, ...to('rebind.w.test', 443, PRIVATE)), '7 soon');
  });

  it('but by a name that the hosts file gives that address', async () => {
    assert.equal(await curl(guest, ...to('given.v.test', 443, PRIVATE)), '7 soon');
    assert.equal((await dig('+short', 'given.v.test')).trim(), PRIVATE);
    assert.equal(await curl(guest, ...to('given.v.test', 443, PRIVATE)), '0 host given.v.test');
    assert.equal(await curl(guest, ...to('rebind.w.test', 443, PRIVATE)), '35 soon');
    assert.equal(await curl(guest, ...to('given.v.test', 80, PRIVATE)), '7 soon');
    assert.equal(await curl(other, ...to('given.v.test', 443, PRIVATE)), '7 soon');
  });

  it('addresses: allowed, denied, rejected, dropped', async () => {
    assert.match(await curl(guest, `https://${PLAIN}/`), /^0 host/);
    assert.equal(await curl(guest, `https://${OTHER}/`), '7 soon');
    assert.equal(await curl(guest, `telnet://${PLAIN}:25`), '7 soon');
    assert.equal(await curl(guest, '--connect-timeout', '1', `http://${PLAIN}/`), '28 late');
  });

  it('of the host one port', async () => {
    const { status } = await guest.try('nc', '-z', '-w', '2', HOST, `${HTTP_PORT}`);
    assert.equal(status, 0);
    assert.notEqual((await guest.try('nc', '-z', '-w', '2', HOST, '22')).status, 0);
    assert.equal(await curl(guest, `http://198.18.0.10:22/`), '7 soon');
  });

  it('neither pings, nor UDP, nor the guest API, nor another guest', async () => {
    const fails = async (...argv: readonly string[]): Promise<void> =>
      assert.notEqual((await guest.try(...argv)).status, 0, argv.join(' '));
    const neighbor = (await other.run('ip', '-4', '-br', 'addr', 'show', 'eth0')).split(/[ /]+/)[2];
    for (const to of [OTHER, GATEWAY]) await fails('ping', '-c', '1', '-W', '1', to);
    await fails('ping', '-c', '1', '-W', '1', neighbor ?? '');
    assert.match(
      await hawser('policy', 'denials'),
      new RegExp(` ${neighbor}/ip, \\d+ times?, .*: default: deny\n`),
    );
    const asked = await lab.host.try(...argvOf('policy', 'test', guest.link, `${neighbor}:80`));
    assert.deepEqual([asked.status, asked.stdout], [1, 'deny: default: deny\n']);
    await fails('curl', '-sS', '-m', '2', `http://${GATEWAY}/v1/ports`);
    assert.doesNotMatch(servers.stdout, /^udp/m);
  });

  it('guests that know each other already hear nothing, and it is listed; they pass by their rule alone', async () => {
    const addressOf = async (of: Guest): Promise<string> =>
      (await of.run('ip', '-4', '-br', 'addr', 'show', 'eth0')).split(/[ /]+/)[2] ?? '';
    const knows = async (one: Guest, two: Guest): Promise<void> => {
      const line = await two.run('ip', '-o', 'link', 'show', 'eth0');
      const mac = /link\/ether ([0-9a-f:]{17})/.exec(line)?.[1] ?? '';
      const entry = [await addressOf(two), 'lladdr', mac, 'dev', 'eth0'];
      await one.run('ip', 'neigh', 'replace', ...entry);
    };
    await knows(guest, other);
    await knows(other, guest);
    const neighbor = await addressOf(other);
    const ping = async (): Promise<number | null> =>
      (await guest.try('ping', '-c', '1', '-W', '1', neighbor)).status;
    const tests = async (): Promise<number | null> =>
      (await lab.host.try(...argvOf('policy', 'test', guest.link, `${neighbor}:22`))).status;
    assert.equal(await ping(), 1);
    assert.notEqual((await guest.try('nc', '-z', '-w', '1', neighbor, '22')).status, 0);
    const list = await hawser('policy', 'denials');
    assert.match(list, new RegExp(` ${neighbor}/icmp, .*: default: deny\n`));
    const [, id = ''] =
      new RegExp(`(\\d+): \\S+ ${neighbor}:22/tcp, .*: default: deny\n`).exec(list) ?? [];
    const one = await lab.host.try(...argvOf('policy', 'approve', id));
    assert.match(one.stderr, /between all guests or between none/);
    assert.equal(await tests(), 1);
    await guest.run('ip', 'route', 'add', `${neighbor}/32`, 'via', GATEWAY);
    assert.equal(await ping(), 1);
    assert.notEqual((await guest.try('nc', '-z', '-w', '1', neighbor, '23')).status, 0);
    await guest.run(process.execPath, '-e', SEND_UDP, neighbor, '24');
    await guest.run('ip', 'route', 'del', `${neighbor}/32`);
    const routed = await hawser('policy', 'denials');
    for (const what of ['23/tcp', '24/udp']) {
      assert.match(routed, new RegExp(` ${neighbor}:${what}, .*: default: deny\n`), routed);
    }
    await hawser('policy', 'approve', id, '--any-guest', '--any-port');
    assert.deepEqual([await ping(), await tests()], [0, 0]);
    await hawser('policy', 'set', lab.path('policy.yaml'));
    assert.deepEqual([await ping(), await tests()], [1, 1]);
  });

  it('the command asks what enforces, changes it while it runs, and open flows follow', async () => {
    assert.match(await hawser('policy', 'show'), /^generation 3\nallow a\.test:25,80,443\/tcp\n/);
    assert.match(await hawser('policy', 'test', '*', 'a.test:443'), /^allow: allow a\.test/);
    const denied = await lab.host.try(...argvOf('policy', 'test', '*', 'evil.test:443'));
    assert.equal(denied.status, 1);
    assert.match(denied.stdout, /^deny: no rule of names allows/);
    await dig('a.test');
    const flow = guest.start(['nc', '-d', OUTSIDE, '25']);
    await flow.prints(/220 hello/);
    assert.match(
      await hawser('policy', 'allow', 'evil.test:443/tcp', '--for', '10m'),
      /generation 4/,
    );
    assert.match(await hawser('flows', '--port', '25'), /a\.test/);
    await dig('evil.test');
    assert.equal(await curl(guest, ...to('evil.test', 443, OTHER)), '0 host evil.test');
    assert.match(await hawser('policy', 'deny', 'a.test'), /generation 5/);
    await flow.exited;
    assert.equal(await curl(guest, ...to('a.test')), '7 soon');
    const bad = lab.path('bad.yaml');
    writeFileSync(bad, 'default: deny\nrules:\n  - allow: { cidr: nowhere }\n');
    const refused = await lab.host.try(...argvOf('policy', 'set', bad));
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /rules\[0\]\.allow\.cidr: must be an address/);
    assert.match(await hawser('policy', 'show'), /^generation 5/);
    assert.equal(daemon.isRunning, true);
  });

  it('names that were asked for outlive the daemon, without a policy too', async () => {
    assert.match(await hawser('policy', 'clear'), /There is no policy/);
    await dig('a.test');
    await daemon.stop('SIGTERM');
    daemon = await lab.startDaemon(options());
    await guest.lease();
    await other.lease();
    assert.equal(await curl(guest, ...to('a.test')), '0 host a.test');
    assert.equal(await curl(other, ...to('a.test')), '7 soon');
  });

  it('a file that is wrong or missing ends the start', async () => {
    writeFileSync(lab.path('worse.yaml'), 'default: allow\nrules:\n  - deny: { port: 0 }\n');
    for (const [file, message] of [
      ['worse.yaml', /worse\.yaml:3: rules\[0\]\.deny\.port: must be ports/],
      ['missing.yaml', /missing\.yaml cannot be read/],
    ] as const) {
      const args = ['run', '--name', 'x', '--listen', `qemu:${lab.path('x.sock')}`];
      const ended = await lab.host.try(...argvOf(...args, '--policy', lab.path(file)));
      assert.equal(ended.status, 2);
      assert.match(ended.stderr, message);
    }
  });
});
