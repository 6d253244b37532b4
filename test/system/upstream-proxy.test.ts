/** A guest behind proxies of the distribution: nothing that it reaches could be reached without them. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { LAB, systemSuite } from '../support/requirements.ts';
import { type Answered, BehindProxy, callApi, ORIGIN, putProxy } from './support/behind-proxy.ts';
import type { Daemon } from './support/daemon.ts';
import { GATEWAY, type Guest, type Lab, OUTSIDE, withEtc } from './support/lab.ts';
import type { Background } from './support/processes.ts';
import { SQUID_PORT, type Squid, startSquid } from './support/proxies.ts';

/** In any order: of a tunnel squid writes when it has ended. */
const allOf = (...patterns: readonly RegExp[]): RegExp =>
  new RegExp(patterns.map(({ source }) => `(?=[\\s\\S]*${source})`).join(''));

systemSuite(
  'upstream proxy of HTTP: squid',
  [...LAB, 'curl', 'dnsmasq', 'openssl', 'squid'],
  function () {
    this.timeout(60_000);

    let behind: BehindProxy;
    let lab: Lab;
    let guest: Guest;
    let daemon: Daemon;
    let origin: Background;
    let squid: Squid;

    before(async () => {
      behind = await BehindProxy.open();
      ({ lab, origin } = behind);
      squid = await startSquid(lab, lab.outside, [
        'acl denied dstdomain denied.test',
        'http_access deny denied',
      ]);
      daemon = await behind.start([
        ...['--upstream-proxy', `http://${OUTSIDE}:${SQUID_PORT}`, '--proxy-exclude', 'free.test'],
      ]);
      guest = behind.guest;
    });
    after(() => lab.close());
    beforeEach(() => {
      origin.stdout = '';
      squid.log();
    });

    const curl = async (...args: readonly string[]): Promise<string> => await behind.curl(...args);
    const ok = (host: string, body = 0, method = 'GET'): string =>
      `0 ${method} host ${host} body ${body}`;

    it('has https and http by name, and a port that is not intercepted not at all', async () => {
      assert.equal(await curl('https://a.test/'), ok('a.test'));
      assert.equal(await curl('http://a.test/x?y'), ok('a.test'));
      await squid.logged(allOf(/CONNECT a\.test:443/, /GET http:\/\/a\.test\/x\?y/));
      assert.match(await curl('http://a.test:8080/'), /^7 /);
      assert.equal(squid.log(), '');
    });

    it('keeps one connection for several requests, and for several hosts', async () => {
      const urls = ['http://a.test/1', 'http://a.test/2', 'http://b.test/3'];
      assert.equal(
        await curl(...urls),
        [ok('a.test'), ok('a.test'), ok('b.test')].join('\n').replaceAll('\n0 ', '\n'),
      );
      const requests = ['a.test', 'b.test', 'a.test'].map(
        (host) => `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
      );
      const got = await guest.run(
        ...[process.execPath, '-e', SEND_TCP, ORIGIN, '80', requests.join('')],
      );
      assert.deepEqual(
        [...got.matchAll(/host (\S+)/g)].map(([, host]) => host),
        ['a.test', 'b.test', 'a.test'],
      );
    });

    it('answers what the proxy refuses with its page, or a reset', async () => {
      const { stdout } = await guest.try(
        ...withEtc(lab.path('etc'), ['curl', '-sSi', '-m', '8', 'http://denied.test/']),
      );
      assert.match(stdout, /^HTTP\/1\.1 403 /);
      assert.match(await curl('https://denied.test/'), /^35 /);
      assert.equal(origin.stdout, '');
    });

    it('leaves excluded names alone, by Host and by server name', async () => {
      squid.log();
      assert.equal(await curl('http://free.test/'), ok('free.test'));
      assert.equal(await curl('https://free.test/'), ok('free.test'));
      assert.equal(squid.log(), '');
    });

    it('passes uploads of 100 MB, by http with a length or in chunks, and by https', async () => {
      const path = lab.path('big');
      writeFileSync(path, Buffer.alloc(100_000_000, 'x'));
      for (const url of ['http://a.test/up', 'https://a.test/up']) {
        const args = ['--data-binary', `@${path}`, '-m', '40', url];
        assert.equal(await curl(...args), ok('a.test', 100_000_000, 'POST'));
        assert.equal(
          await curl('-H', 'Transfer-Encoding: chunked', ...args),
          ok('a.test', 100_000_000, 'POST'),
        );
      }
    });

    it('has the answer to an upload that is refused in the middle', async () => {
      const path = lab.path('refused');
      writeFileSync(path, Buffer.alloc(3_000_000, 'x'));
      const args = ['--data-binary', `@${path}`, '-H', 'Expect:', '-w', '%{http_code}'];
      for (let i = 1; i <= 8; i++) {
        assert.equal(await curl(...args, 'http://a.test/refuse'), '0 no\n413');
      }
    });

    it('leaves it to the origin whether an upload that waits for 100 is sent', async () => {
      const path = lab.path('expected');
      writeFileSync(path, Buffer.alloc(3_000_000, 'x'));
      // Of 1 MB and more curl asks itself.
      const put = async (...args: readonly string[]): Promise<string> =>
        await curl('--expect100-timeout', '60', ...args);
      const up = ['-T', path, 'http://a.test/up'];
      const sent = await put('-i', ...up, ...up, '-w', 'connects %{num_connects}\n');
      assert.equal(sent.match(/^(0 )?HTTP\/1\.1 100 /gm)?.length, 2);
      const body = ok('a.test', 3_000_000, 'PUT').slice(2);
      assert.deepEqual(sent.match(/^(PUT|connects) .*/gm), [
        body,
        'connects 1',
        body,
        'connects 0',
      ]);
      const how = ['-w', '%{http_code} %{size_upload} %{num_connects}\n'];
      for (const host of ['a.test', 'free.test']) {
        for (const status of [401, 413, 417]) {
          const early = ['-T', path, `http://${host}/early/${status}`];
          assert.equal(
            await put(...how, ...early, ...up),
            `0 early\n${status} 0 1\n${body}\n200 3000000 1`,
          );
        }
      }
      const expected = [...origin.stdout.matchAll(/^expects (.*)$/gm)].map(([, what]) => what);
      const early = ['a.test', 'free.test'].flatMap((host) =>
        [401, 413, 417].flatMap((status) => [`${host} /early/${status}`, 'a.test /up']),
      );
      assert.deepEqual(expected, ['a.test /up', 'a.test /up', ...early]);
    });

    it('makes a tunnel of an upgrade: WebSocket, and what is not granted', async () => {
      const echo = await guest.run(process.execPath, WS_MAIN, `ws://${ORIGIN}/`, 'a.test');
      assert.equal(echo.trim(), 'echo 100000');
      await squid.logged(/CONNECT a\.test:80/);
      assert.match(
        await curl('-i', '-H', 'Connection: Upgrade', '-H', 'Upgrade: x', 'http://a.test/no'),
        /^0 HTTP\/1\.1 426 No/,
      );
    });

    it('passes the body of a request that asks for an upgrade: granted, not granted, and of HTTP/2', async () => {
      const path = lab.path('body');
      writeFileSync(path, Buffer.alloc(3_000_000, 'x'));
      const raw = await guest.run(...[process.execPath, '-e', UPGRADE_WITH_BODY, ORIGIN, path]);
      assert.equal(raw.trim(), 'echo of 3000000 and ping');
      const wish = ['-H', 'Connection: Upgrade', '-H', 'Upgrade: x', '-d', 'abc'];
      const connects = ['-w', '%{num_connects}\n', '-sS'];
      assert.equal(
        await curl(
          ...connects,
          ...wish,
          'http://a.test/no',
          '--next',
          ...connects,
          'http://a.test/',
        ),
        `0 no\n1\n${ok('a.test').slice(2)}\n0`,
      );
      assert.equal(
        await curl('--http2', '--data-binary', `@${path}`, 'http://a.test/up'),
        ok('a.test', 3_000_000, 'POST'),
      );
    });

    it('asks by address where no name is stated, also for a server that speaks first', async () => {
      squid.log();
      assert.match(await curl(`https://${ORIGIN}/`), /^0 GET host 192\.0\.2\.1/);
      await squid.logged(/CONNECT 192\.0\.2\.1:443/);
    });

    it('serves clients of a proxy at the gateway', async () => {
      const proxied = async (...args: readonly string[]): Promise<string> =>
        await curl('-x', `http://${GATEWAY}:3128`, ...args);
      assert.equal(await proxied('http://a.test/'), ok('a.test'));
      assert.equal(await proxied('http://a.test:8080/'), ok('a.test:8080'));
      assert.equal(await proxied('https://a.test/'), ok('a.test'));
      assert.equal(await proxied('-p', 'https://a.test:8443/'), ok('a.test:8443'));
      assert.equal(await proxied('http://free.test/'), ok('free.test'));
      await squid.logged(/CONNECT a\.test:8443/);
      assert.match(await proxied('-i', 'http://denied.test/'), /^0 HTTP\/1\.1 403/);
      assert.match(await proxied('https://denied.test/'), /^56 /);
      assert.match(await proxied('-i', `http://${GATEWAY}:53/`), /^0 HTTP\/1\.1 403/);
      assert.match(await proxied('-i', 'http://169.254.169.254/'), /^0 HTTP\/1\.1 403/);
    });

    it('refuses QUIC with an error, so that browsers fall back', async () => {
      const said = await guest.run(process.execPath, '-e', SEND_UDP, ORIGIN, '443');
      assert.equal(said.trim(), 'ECONNREFUSED');
      const free = await guest.run(process.execPath, '-e', SEND_UDP, OUTSIDE, '7');
      assert.equal(free.trim(), 'echo');
    });

    it('asks by address for a server that speaks first, or lets it go directly by the rule', async () => {
      const document = {
        upstreamProxy: `http://${OUTSIDE}:${SQUID_PORT}`,
        proxyExclude: 'free.test',
        httpsPorts: [443, 25],
      };
      await putProxy(daemon, document);
      squid.log();
      assert.match(await curl('-m', '2', `telnet://${ORIGIN}:25`), /220 hello/);
      await squid.logged(/CONNECT 192\.0\.2\.1:25/);
      await putProxy(daemon, { ...document, proxyUnnamed: 'direct' });
      assert.match(await curl('-m', '2', `telnet://${OUTSIDE}:25`), /220 hello/);
      assert.match(await curl('-m', '2', `telnet://${ORIGIN}:25`), /^56 |^0 $/);
      assert.equal(squid.log(), '');
    });

    it('is changed by the API, and shown without its secrets', async () => {
      const put = async (document: object): Promise<Answered> => await putProxy(daemon, document);
      const none = await put({ upstreamProxy: [] });
      assert.deepEqual([none.status, none.body.document], [200, null]);
      assert.match(await curl('https://a.test/'), /^7 /);
      assert.equal(await curl('https://free.test/'), ok('free.test'));
      assert.match(await curl('-x', `http://${GATEWAY}:3128`, 'http://a.test/'), /^7 /);
      const bad = await put({ upstreamProxy: 'ftp://x' });
      assert.equal(bad.status, 400);
      const back = await put({
        upstreamProxy: `http://u:p@${OUTSIDE}:${SQUID_PORT}`,
        proxyExclude: 'free.test',
      });
      assert.equal(back.status, 200);
      assert.deepEqual(back.body.document?.['upstreamProxy'], [`http://${OUTSIDE}:${SQUID_PORT}`]);
      assert.equal(await curl('https://a.test/'), ok('a.test'));
    });

    it('is asked by name under a policy, and not for a name that the policy does not allow', async () => {
      const { api: where } = await daemon.ready();
      const gateway = { allow: { to: 'gateway', port: 3128, protocol: 'tcp' } };
      const named = { allow: { name: 'a.test', port: [80, 443] } };
      const policy = { default: 'deny', rules: [named, gateway] };
      await callApi(where, '/v1/policy', policy);
      squid.log();
      assert.equal(await curl('https://a.test/'), ok('a.test'));
      assert.equal(await curl('http://a.test/'), ok('a.test'));
      await squid.logged(allOf(/CONNECT a\.test:443/, /GET http:\/\/a\.test\//));
      const evil = ['--resolve', `b.test:443:${ORIGIN}`, '--resolve', `b.test:80:${ORIGIN}`];
      assert.match(await curl(...evil, 'https://b.test/'), /^35 /);
      assert.match(await curl(...evil, 'http://b.test/'), /^0 b\.test/);
      const proxied = ['-x', `http://${GATEWAY}:3128`];
      assert.match(await curl(...proxied, 'https://b.test/'), /^56 /);
      assert.match(await curl(...proxied, '-i', 'http://b.test/'), /^0 HTTP\/1\.1 403/);
      assert.equal(await curl(...proxied, 'https://a.test/'), ok('a.test'));
      const fronted = ['--connect-to', 'b.test:443:a.test:443', 'https://b.test/'];
      assert.match(await curl(...proxied, ...fronted), /^35 /);
      assert.doesNotMatch(squid.log(), /b\.test/);
      const open = { default: 'deny', rules: [{ allow: { cidr: `${ORIGIN}/32`, port: 443 } }] };
      await callApi(where, '/v1/policy', open);
      // Nobody has looked it up: the proxy would resolve it past the rule.
      const other = ['--resolve', `c.test:443:${ORIGIN}`, 'https://c.test/'];
      assert.equal(await curl(...other), ok('c.test'));
      await squid.logged(/CONNECT 192\.0\.2\.1:443/);
      await callApi(where, '/v1/policy', { default: 'allow' });
    });

    it('never goes past a proxy that has ended: a page, or a reset', async () => {
      const held = guest.start([...[process.execPath, '-e', HOLD, ORIGIN, '443']]);
      await held.prints(/open/);
      await squid.process.stop();
      await held.prints(/closed/);
      assert.match(await curl('-i', 'http://a.test/'), /^0 HTTP\/1\.1 502/);
      assert.match(await curl('https://a.test/'), /^35 /);
      assert.match(
        await curl('-i', '-x', `http://${GATEWAY}:3128`, 'http://a.test/'),
        /^0 HTTP\/1\.1 502/,
      );
      assert.equal(await curl('http://free.test/'), ok('free.test'));
      assert.equal(origin.stdout.replaceAll(/^free.*\n/gm, ''), '');
    });
  },
);

const WS_MAIN = fileURLToPath(new URL('./support/ws-echo-main.js', import.meta.url));
const SEND_TCP = `const s = require('net').connect(process.argv[2], process.argv[1]);
  s.write(process.argv[3]);
  let text = '';
  s.on('data', (d) => { text += d; if (text.split('host ').length > 3) { console.log(text); process.exit(); } });`;
const UPGRADE_WITH_BODY = `const { readFileSync } = require('fs');
  const body = readFileSync(process.argv[2]);
  const request = require('http').request({
    host: process.argv[1], path: '/raw', method: 'POST',
    headers: { host: 'a.test', connection: 'Upgrade', upgrade: 'raw', 'content-length': body.length },
  });
  request.on('upgrade', (_, socket, head) => {
    let got = head;
    socket.on('data', (bytes) => {
      got = Buffer.concat([got, bytes]);
      if (got.length === body.length) socket.write('ping');
      if (got.length !== body.length + 4) return;
      console.log('echo of ' + (got.subarray(0, -4).equals(body) ? body.length : 'what?') + ' and ' + got.subarray(-4));
      process.exit();
    });
  });
  request.end(body);`;
const SEND_UDP = `const s = require('dgram').createSocket('udp4');
  s.on('error', (e) => { console.log(e.code); process.exit(); });
  s.on('message', () => { console.log('echo'); process.exit(); });
  s.connect(Number(process.argv[2]), process.argv[1], () => s.send('x'));
  setTimeout(() => { console.log('silence'); process.exit(); }, 3000);`;
/** A tunnel that stays: TLS whose hello names nobody. */
const HOLD = `const s = require('tls').connect({ host: process.argv[1], port: process.argv[2], rejectUnauthorized: false, servername: 'a.test' });
  s.on('secureConnect', () => console.log('open'));
  s.on('error', () => {});
  s.on('close', () => { console.log('closed'); process.exit(); });`;
