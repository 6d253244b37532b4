/** A cloud serves the host its metadata and its DNS at addresses that guests may not reach, but hawser's own resolver may. */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { LAB, systemSuite } from '../support/requirements.ts';
import { GATEWAY, type Guest, HTTP_PORT, Lab } from './support/lab.ts';
import { until } from './support/until.ts';

const AGENT = fileURLToPath(new URL('../../hawser-agent.mjs', import.meta.url));
const AZURE = '168.63.129.16';
const METADATA = ['169.254.169.254', '100.100.100.200', '192.0.0.192', AZURE];
const MUX_PORT = 4099;
const FORWARDED = 9300;
const ECHO = HTTP_PORT + 5;

const SEND = `const s = require('dgram').createSocket('udp4');
  const end = (what) => { console.log(what); process.exit(); };
  s.on('error', (e) => end(e.code));
  s.on('message', () => end('answered'));
  s.connect(+process.argv[2], process.argv[1], () => s.send('x', (e) => e && end(e.code)));
  setTimeout(end, 3000, 'silence');`;

systemSuite('metadata of clouds', [...LAB, 'curl', 'dig', 'dnsmasq', 'ping'], function () {
  this.timeout(60_000);

  for (const isOpen of [false, true]) {
    describe(isOpen ? 'with --allow-metadata' : 'by default', () => {
      let lab: Lab;
      let guest: Guest;

      before(async () => {
        lab = await Lab.open();
        for (const address of METADATA) {
          await lab.host.run('ip', 'addr', 'add', `${address}/32`, 'dev', 'lo');
        }
        const argv = ['dnsmasq', '-k', '-u', 'root', '--pid-file=', '--no-resolv', '--no-hosts'];
        lab.host.start([
          ...[...argv, '-C', '/dev/null', '--bind-interfaces', `--listen-address=${AZURE}`],
          ...['--host-record=www.example,198.51.100.7', '--local=/example/'],
        ]);
        await until('dnsmasq to listen', async () =>
          (await lab.host.run('ss', '-Hlun', `src ${AZURE}`)).includes(':53'),
        );
        const rule = `tcp:169.254.169.254:${HTTP_PORT}`;
        ({ guest } = await lab.standard([
          ...['--dns', AZURE, '--mux', `guest:${MUX_PORT}`, '--mux-allow', rule],
          ...(isOpen ? ['--allow-metadata'] : []),
        ]));
        const forward = `tcp:127.0.0.1:${FORWARDED}=${rule}`;
        const args = ['--listen', `tcp:0.0.0.0:${MUX_PORT}`, '--forward-to-host', forward];
        const agent = guest.start([process.execPath, AGENT, ...args]);
        await agent.prints(/agent ready/);
        await agent.prints(/multiplexer up/);
      });
      after(() => lab.close());

      for (const address of METADATA) {
        it(`${address} is ${isOpen ? 'open' : 'closed'} to TCP, UDP and pings`, async () => {
          const url = `http://${address}:${HTTP_PORT}/`;
          const tcp = await guest.try('curl', '-sS', '-m', '5', url);
          assert.equal(tcp.status === 0, isOpen, tcp.stderr);
          const udp = await guest.run(process.execPath, '-e', SEND, address, `${ECHO}`);
          assert.equal(udp.trim(), isOpen ? 'answered' : 'EHOSTUNREACH');
          const ping = await guest.try('ping', '-c', '1', '-W', '1', address);
          assert.equal(ping.status === 0, isOpen, ping.stdout);
        });
      }

      it(`a rule of --mux-allow ${isOpen ? 'opens' : 'does not open'} it`, async () => {
        const url = `http://127.0.0.1:${FORWARDED}/`;
        const { status } = await guest.try('curl', '-sS', '-m', '5', url);
        assert.equal(status === 0, isOpen);
      });

      it("hawser's DNS asks the cloud's resolver there", async () => {
        const answer = await guest.run('dig', `@${GATEWAY}`, '+short', 'www.example');
        assert.equal(answer.trim(), '198.51.100.7');
      });
    });
  }
});
