/** `--no-host-access`: none of the host's own addresses answers a guest; all else does, and hawser's own services. */
import assert from 'node:assert/strict';
import { LAB, systemSuite } from '../support/requirements.ts';
import {
  addIpv6,
  GATEWAY6,
  HOST6,
  HOST6_OUTER,
  OUTSIDE6,
  SUBNET6,
  slaacAddress,
} from './support/ipv6.ts';
import { GATEWAY, type Guest, HOST, HOST_OUTER, HTTP_PORT, Lab, OUTSIDE } from './support/lab.ts';
import { until } from './support/until.ts';

/** An address of the host's that is in use by nothing else. */
const HOST_OTHER = '198.18.7.7';
const HOST6_UNIQUE_LOCAL = 'fd99:9999:9999::9';
const ECHO = HTTP_PORT + 5;

const SEND = `const s = require('dgram').createSocket(process.argv[1].includes(':') ? 'udp6' : 'udp4');
  const end = (what) => { console.log(what); process.exit(); };
  s.on('error', (e) => end(e.code));
  s.on('message', () => end('answered'));
  s.connect(+process.argv[2], process.argv[1], () => s.send('x', (e) => e && end(e.code)));
  setTimeout(end, 3000, 'silence');`;

systemSuite('access to the host', [...LAB, 'ipv6', 'curl', 'ping'], function () {
  this.timeout(60_000);

  for (const isOpen of [true, false]) {
    describe(isOpen ? 'by default' : 'with --no-host-access', () => {
      let lab: Lab;
      let guest: Guest;

      before(async () => {
        lab = await Lab.open();
        await lab.host.run('ip', 'addr', 'add', `${HOST_OTHER}/32`, 'dev', 'lo');
        await addIpv6(lab);
        await lab.host.run('ip', 'addr', 'add', `${HOST6_UNIQUE_LOCAL}/128`, 'dev', 'lo');
        await lab.startServers(lab.outside, '::');
        const closed = isOpen ? [] : ['--no-host-access'];
        ({ guest } = await lab.standard(['--subnet6', SUBNET6, ...closed]));
        for (const address of ['::1', HOST6_OUTER, HOST6_UNIQUE_LOCAL]) {
          await lab.startServers(lab.host, address);
        }
        await slaacAddress(guest);
        await until('a default route', async () =>
          (await guest.run('ip', '-6', 'route', 'show', 'default')).includes('via fe80:'),
        );
      });
      after(() => lab.close());

      const reaches = async (address: string, is: boolean): Promise<void> => {
        const host = address.includes(':') ? `[${address}]` : address;
        const tcp = await guest.try('curl', '-gsS', '-m', '5', `http://${host}:${HTTP_PORT}/`);
        assert.equal(tcp.status === 0, is, `TCP: ${tcp.stderr}`);
        const udp = await guest.run(process.execPath, '-e', SEND, address, `${ECHO}`);
        assert.equal(udp.trim() === 'answered', is, `UDP: ${udp}`);
        const ping = await guest.try('ping', '-c', '1', '-W', '1', address);
        assert.equal(ping.status === 0, is, `ping: ${ping.stdout}`);
      };

      for (const address of [
        HOST,
        HOST_OUTER,
        HOST_OTHER,
        HOST6,
        HOST6_OUTER,
        HOST6_UNIQUE_LOCAL,
      ]) {
        it(`${address} is ${isOpen ? 'open' : 'closed'} to TCP, UDP and pings`, async () => {
          await reaches(address, isOpen);
        });
      }

      it('a link-local address of the host is nobody to guests', async () => {
        const own = await lab.host.run('ip', '-6', 'addr', 'show', 'dev', 'up0', 'scope', 'link');
        const address = /inet6 (fe80:\S+)\/64/.exec(own)?.[1];
        assert.ok(address !== undefined);
        const ping = await guest.try('ping', '-6', '-c', '1', '-W', '1', `${address}%eth0`);
        assert.notEqual(ping.status, 0, ping.stdout);
      });

      it('what is beyond the host is open', async () => {
        await reaches(OUTSIDE, true);
        await reaches(OUTSIDE6, true);
      });

      it('the gateway answers pings', async () => {
        for (const address of [GATEWAY, GATEWAY6]) {
          const ping = await guest.try('ping', '-c', '1', '-W', '1', address);
          assert.equal(ping.status, 0, ping.stdout);
        }
      });
    });
  }
});
