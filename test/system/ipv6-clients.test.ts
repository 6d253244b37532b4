/** Small clients of real guests over IPv6: of busybox, of iputils, of Node as it was before it tried both families, of NTP. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { addIpv6, GATEWAY6, HOST6, OUTSIDE6, SUBNET6, slaacAddress } from './support/ipv6.ts';
import { type Guest, HOST, HTTP_PORT, Lab, withEtc } from './support/lab.ts';
import { until } from './support/until.ts';

const PUBLISHED = 18_080;
const BESIDE6 = '2001:db8:18::77';
const ROUTER = 'fe80::5894:efff:fee4:cdd';
/** Seconds from 1900 to 1970. */
const NTP_EPOCH_S = 2_208_988_800;
const MAX_CLOCK_ERROR_S = 2;

const SNTP = `const s = require('dgram').createSocket('udp6');
  const query = Buffer.alloc(48);
  query[0] = 0x23;
  s.on('message', (data, { address }) => {
    console.log(address, data.length, data[0] & 7, data.readUInt32BE(40) - ${NTP_EPOCH_S});
    s.close();
  });
  s.send(query, 123, process.argv[1]);
  setTimeout(() => process.exit(1), 5000).unref();`;

/** As all of Node did before version 20: the first address alone. */
const FIRST_ADDRESS = `require('http').get({ host: process.argv[1], port: ${HTTP_PORT}, autoSelectFamily: false,
    verbatim: true, agent: false }, (r) => { console.log(r.socket.remoteAddress, r.statusCode); r.resume(); })
  .on('error', (e) => console.log(e.code));`;

/** Addresses in the order of the hops. */
const hopsOf = (said: string): (string | undefined)[] =>
  said
    .split('\n')
    .filter((line) => /^ *\d+ {2}/.test(line))
    .map((line) => /^ *\d+ {2}(\S+)/.exec(line)?.[1]);

systemSuite(
  'small clients of IPv6',
  [...LAB, 'ipv6', 'vm', 'ping', 'curl', 'traceroute', 'tracepath', 'rdisc6'],
  function () {
    this.timeout(60_000);
    let lab: Lab;
    let guest: Guest;
    let daemon: Daemon;
    let etc: string;

    before(async () => {
      lab = await Lab.open();
      await addIpv6(lab);
      await lab.outside.run('ip', 'addr', 'add', `${BESIDE6}/128`, 'dev', 'lo');
      const route = ['route', 'add', `${BESIDE6}/128`, 'via', OUTSIDE6];
      await lab.host.run('ip', ...route);
      const port = ['-p', `${PUBLISHED}:${HTTP_PORT}`];
      ({ daemon, guest } = await lab.standard(['--subnet6', SUBNET6, ...port]));
      await lab.startServers(lab.host, '::1');
      await lab.startServers(guest, await slaacAddress(guest));
      await until('a default route', async () =>
        (await guest.run('ip', '-6', 'route', 'show', 'default')).includes('via fe80:'),
      );
      etc = lab.path('etc');
      mkdirSync(etc);
      writeFileSync(`${etc}/resolv.conf`, `nameserver ${GATEWAY6}\n`);
      writeFileSync(`${etc}/nsswitch.conf`, 'hosts: dns\n');
    });
    after(() => lab.close());
    afterEach(() => assert.ok(daemon.isRunning, daemon.stderr));

    const TARGETS = [
      ['the gateway', GATEWAY6, false],
      ["the host's loopback", HOST6, false],
      ['the outside', OUTSIDE6, true],
      ['another address there', BESIDE6, true],
    ] as const;

    for (const [what, address, isBeyond] of TARGETS) {
      it(`busybox ping: ${what}`, async () => {
        const said = await guest.run('busybox', 'ping', '-6', '-c', '1', '-W', '2', address);
        assert.match(said, /1 packets received/);
      });
      it(`traceroute -6 and tracepath -6: ${what}`, async () => {
        const hops = isBeyond ? [GATEWAY6, address] : [address];
        for (const how of ['-I', '-U']) {
          const said = await guest.run(
            'traceroute',
            '-6',
            '-n',
            how,
            '-q',
            '1',
            '-m',
            '4',
            address,
          );
          assert.deepEqual(hopsOf(said), hops, said);
        }
        const said = await guest.run('tracepath', '-6', '-n', '-m', '4', '-l', '400', address);
        assert.match(said, new RegExp(` ${hops.length}:  ${address} .*reached`));
      });
    }

    it('busybox traceroute6 sees the gateway on its way', async () => {
      const args = ['-n', '-q', '1', '-m', '1', OUTSIDE6];
      const said = await guest.run('busybox', 'traceroute6', ...args);
      assert.deepEqual(hopsOf(said), [GATEWAY6]);
    });

    for (const [what, address] of [
      ['the gateway', GATEWAY6],
      ["the host's loopback", HOST6],
      ['the router', ROUTER],
    ] as const) {
      it(`ndisc6 asks for ${what}`, async () => {
        const said = await guest.run('ndisc6', '-1', '-r', '1', '-w', '2000', address, 'eth0');
        assert.match(said, /5A:94:EF:E4:0C:DD/i);
      });
    }

    it('busybox nslookup asks the gateway at its IPv6 address', async () => {
      const said = await guest.run('busybox', 'nslookup', 'host.hawser.internal', GATEWAY6);
      assert.match(said, new RegExp(`Address:\\s+${HOST6}$`, 'm'));
    });

    it('curl -6 by name: a server on the host, and back to a published port', async () => {
      const curl = ['curl', '-6', '-sS', '-m', '10', '-w', '%{remote_ip}'];
      const there = withEtc(etc, [...curl, `http://host.hawser.internal:${HTTP_PORT}/`]);
      assert.equal(await guest.run(...there), `hello from the host\n${HOST6}`);
      const back = await lab.host.run(...curl, `http://localhost:${PUBLISHED}/`);
      assert.equal(back, 'hello from the host\n::1');
    });

    it('SNTP at the gateway', async () => {
      const said = await guest.run(process.execPath, '-e', SNTP, GATEWAY6);
      const [from, len, mode, time] = said.trim().split(' ');
      assert.deepEqual([from, len, mode], [GATEWAY6, '48', '4']);
      assert.ok(Math.abs(Number(time) - Date.now() / 1000) < MAX_CLOCK_ERROR_S, said);
    });

    for (const [order, first] of [
      ['ipv6first', HOST6],
      ['ipv4first', HOST],
    ] as const) {
      it(`a Node client that tries the first address alone reaches a name of ours: ${order}`, async () => {
        const node = [process.execPath, '--dns-result-order', order, '-e', FIRST_ADDRESS];
        const argv = withEtc(etc, [...node, 'host.hawser.internal']);
        assert.equal(await guest.run(...argv), `${first} 200\n`);
      });
    }
  },
);
