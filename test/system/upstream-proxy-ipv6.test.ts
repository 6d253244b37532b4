/** IPv6 through proxies: destinations, names that have nothing else, datagrams; and proxies at addresses of IPv6. */
import assert from 'node:assert/strict';
import { LAB, systemSuite } from '../support/requirements.ts';
import { BehindProxy, NOBODY6, ORIGIN, ORIGIN6, putProxy } from './support/behind-proxy.ts';
import type { Daemon } from './support/daemon.ts';
import { addGuestIpv6, GATEWAY6, OUTSIDE6, SUBNET6 } from './support/ipv6.ts';
import { OUTSIDE } from './support/lab.ts';
import type { Background } from './support/processes.ts';
import {
  DANTE_PORT,
  SQUID_PORT,
  type Squid,
  startDante,
  startSquid,
  startTinyproxy,
  TINYPROXY_PORT,
} from './support/proxies.ts';

const ok = (host: string): string => `0 GET host ${host} body 0`;
const SEND_UDP6 = `const s = require('dgram').createSocket('udp6');
  s.on('error', (e) => { console.log(e.code); process.exit(); });
  s.on('message', (m, from) => { console.log(m + ' from ' + from.address); process.exit(); });
  s.connect(Number(process.argv[2]), process.argv[1], () => s.send('hello'));
  setTimeout(() => { console.log('silence'); process.exit(); }, 4000);`;

systemSuite(
  'upstream proxy and IPv6',
  [...LAB, 'ipv6', 'curl', 'danted', 'dnsmasq', 'openssl', 'squid', 'tinyproxy'],
  function () {
    this.timeout(60_000);
    let behind: BehindProxy;
    let daemon: Daemon;
    let squid: Squid;
    let dante: Background;
    const curl = async (...args: readonly string[]): Promise<string> =>
      await behind.curl('-6', ...args);
    const udp = async (address: string, port: number): Promise<string> =>
      (await behind.guest.run(process.execPath, '-e', SEND_UDP6, address, `${port}`)).trim();
    const use = async (...upstreamProxy: readonly string[]): Promise<void> => {
      const { status } = await putProxy(daemon, { upstreamProxy, proxyExclude: 'free.test' });
      assert.equal(status, 200);
      squid.log();
      dante.stdout = '';
    };

    before(async () => {
      behind = await BehindProxy.open({ hasIpv6: true });
      const { lab } = behind;
      squid = await startSquid(lab, lab.outside);
      await startTinyproxy(behind, (argv) => behind.withHosts(argv));
      dante = await startDante(behind, (argv) => behind.withHosts(argv), { hasIpv6: true });
      daemon = await behind.start(['--subnet6', SUBNET6, '--dns-family', 'both']);
      await addGuestIpv6(behind.guest);
    });
    after(() => behind.lab.close());

    it('nothing of it is there without the proxy', async () => {
      await use();
      assert.match(await curl(`https://[${ORIGIN6}]/`), /^7 /);
      assert.match(await curl('https://six.test/'), /^7 /);
    });

    for (const [family, address] of [
      ['IPv4', OUTSIDE],
      ['IPv6', `[${OUTSIDE6}]`],
    ] as const) {
      it(`CONNECT by address, in brackets, and by name: squid at ${family}`, async () => {
        await use(`http://${address}:${SQUID_PORT}`);
        assert.equal(await curl(`https://[${ORIGIN6}]/`), ok(`[${ORIGIN6}]`));
        assert.equal(await curl('https://six.test/'), ok('six.test'));
        await squid.logged(/CONNECT \[2001:db8:6::1\]:443[\s\S]*CONNECT six\.test:443/);
      });

      it(`requests of HTTP by address and by name: squid at ${family}`, async () => {
        assert.equal(await curl(`http://[${ORIGIN6}]/x`), ok(`[${ORIGIN6}]`));
        assert.equal(await curl('http://six.test/x'), ok('six.test'));
        await squid.logged(/GET http:\/\/\[2001:db8:6::1\]\/x[\s\S]*GET http:\/\/six\.test\/x/);
      });

      it(`tinyproxy at ${family}`, async () => {
        await use(`http://${address}:${TINYPROXY_PORT}`);
        for (const scheme of ['http', 'https']) {
          assert.equal(await curl(`${scheme}://[${ORIGIN6}]/`), ok(`[${ORIGIN6}]`));
          assert.equal(await curl(`${scheme}://six.test/`), ok('six.test'));
          assert.equal(await behind.curl('-4', `${scheme}://a.test/`), ok('a.test'));
        }
      });

      it(`SOCKS by address, and by name where the address of our DNS leads nowhere: dante at ${family}`, async () => {
        await use(`socks5://${address}:${DANTE_PORT}`);
        assert.equal(await curl(`http://[${ORIGIN6}]:8080/`), ok(`[${ORIGIN6}]:8080`));
        assert.equal(await curl('https://moved6.test/'), ok('moved6.test'));
        assert.equal(await curl('http://moved6.test:8080/'), ok('moved6.test:8080'));
        assert.equal(await behind.curl('-4', `https://${ORIGIN}/`), ok(ORIGIN));
        assert.match(await curl(`http://[${ORIGIN6}]:81/`), /^7 /);
      });

      it(`datagrams that SOCKS relays: dante at ${family}`, async () => {
        assert.equal(await udp(ORIGIN6, 7), `hello from ${ORIGIN6}`);
      });
    }

    it('the guest has IPv6 where only the proxy has it', async () => {
      await use(`http://${OUTSIDE}:${SQUID_PORT}`);
      await behind.lab.host.run('ip', '-6', 'route', 'del', 'default');
      assert.equal(await curl(`https://[${ORIGIN6}]/`), ok(`[${ORIGIN6}]`));
      assert.equal(await curl('https://six.test/'), ok('six.test'));
      assert.equal(await curl(`https://[${NOBODY6}]/`), '35 ');
      await behind.lab.host.run('ip', 'route', 'add', 'default', 'via', OUTSIDE6);
    });

    it('QUIC is refused with an error, so that browsers fall back', async () => {
      await use(`http://${OUTSIDE}:${SQUID_PORT}`);
      assert.equal(await udp(ORIGIN6, 443), 'ECONNREFUSED');
    });

    it('exclusions by network and by name lead past the proxy', async () => {
      const upstreamProxy = [`http://${OUTSIDE}:${SQUID_PORT}`];
      await putProxy(daemon, { upstreamProxy, proxyExclude: '2001:db8:18::/48,free.test' });
      squid.log();
      assert.equal(await curl(`https://[${OUTSIDE6}]/`), ok(`[${OUTSIDE6}]`));
      assert.equal(await curl('https://free.test/'), ok('free.test'));
      assert.equal(squid.log(), '');
      await putProxy(daemon, { upstreamProxy, proxyExclude: `[${ORIGIN6}]:443` });
      assert.match(await curl(`https://[${ORIGIN6}]/`), /^7 |^35 /);
      assert.equal(squid.log(), '');
      assert.equal(await curl(`http://[${ORIGIN6}]/`), ok(`[${ORIGIN6}]`));
    });

    it('the proxy at the gateway is at its address of IPv6 too', async () => {
      await use(`http://${OUTSIDE}:${SQUID_PORT}`);
      const proxied = ['-x', `http://[${GATEWAY6}]:3128`];
      assert.equal(await curl(...proxied, 'https://six.test/'), ok('six.test'));
      assert.equal(await curl(...proxied, `http://[${ORIGIN6}]/`), ok(`[${ORIGIN6}]`));
      assert.equal(await curl(...proxied, '-p', `http://[${ORIGIN6}]/`), ok(`[${ORIGIN6}]`));
      await squid.logged(/CONNECT six\.test:443[\s\S]*CONNECT \[2001:db8:6::1\]:80/);
    });

    it('a proxy that has ended never means direct', async () => {
      await use(`http://[${OUTSIDE6}]:${SQUID_PORT}`);
      behind.origin.stdout = '';
      await squid.process.stop();
      assert.match(await curl('-i', 'http://six.test/'), /^0 HTTP\/1\.1 502/);
      assert.match(await curl('https://six.test/'), /^35 /);
    });
  },
);
