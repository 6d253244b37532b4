/**
 * Published ports and IPv6: clients of either family, on the host and outside, to servers of either family in a guest whose
 * kernel has made its own address.
 */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { LAB, systemSuite } from '../support/requirements.ts';
import { download, upload } from './support/clients.ts';
import type { Daemon } from './support/daemon.ts';
import {
  addIpv6,
  GATEWAY6,
  HOST6,
  HOST6_OUTER,
  OUTSIDE6,
  SUBNET6,
  slaacAddress,
} from './support/ipv6.ts';
import { type Guest, HOST, HOST_OUTER, HTTP_PORT, Lab, OUTSIDE } from './support/lab.ts';
import { until } from './support/until.ts';

const MIB = 1 << 20;
const HELD = fileURLToPath(new URL('./support/port-clients-main.js', import.meta.url));
/** Where servers of the guest listen: on IPv4 alone, on IPv6 alone, on both. */
const ON4 = HTTP_PORT;
const ON6 = HTTP_PORT + 100;
const ON_ALL = HTTP_PORT + 200;
const PEER = 7000;
const P4 = 18_300;
const P6 = 18_310;
const P_PEER = 18_320;
const P_ALL = 18_325;
const P_UDP = 18_330;
const P_UDP4 = 18_331;
const P_LOCAL = 18_340;
const P_PROXY = 18_350;
const HELLO = 'hello from the host\n';

systemSuite(
  'published ports and IPv6',
  [...LAB, 'ipv6', 'curl', 'nc', 'ping', 'rdisc6'],
  function () {
    this.timeout(60_000);
    let lab: Lab;
    let guest: Guest;
    let daemon: Daemon;
    let guest6: string;

    before(async () => {
      lab = await Lab.open();
      await addIpv6(lab);
      await lab.host.run('sysctl', '-qw', 'net.ipv6.bindv6only=1'); // said for each socket
      const ports = [
        `*:${P4}-${P4 + 1}:${ON4}-${ON4 + 1}`,
        `*:${P6}-${P6 + 1}:${ON6}-${ON6 + 1}`,
        `*:${P_PEER}:${PEER}`,
        `*:${P_ALL}:${ON_ALL}`,
        `*:${P_UDP}:${ON6 + 5}/udp`,
        `*:${P_UDP4}:${ON4 + 5}/udp`,
        `${P_LOCAL}:${ON6}`,
      ];
      ({ daemon, guest } = await lab.standard([
        ...['--subnet6', SUBNET6, '--ipv6', 'on', '--guest-api', 'on'],
        ...ports.flatMap((port) => ['-p', port]),
      ]));
      guest6 = await slaacAddress(guest);
      await lab.startServers(guest, '0.0.0.0', ON4);
      await lab.startServers(guest, guest6, ON6);
      lab.track(guest.start([process.execPath, HELD, 'peer-names', String(PEER)]));
      await until('the peer server', async () =>
        (await guest.run('ss', '-Hltn')).includes(':7000'),
      );
    });
    after(() => lab.close());
    afterEach(() => assert.ok(daemon.isRunning, daemon.stderr));

    const WAYS = [
      ['the loopback, IPv4', 'host', '127.0.0.1'],
      ['the loopback, IPv6', 'host', '[::1]'],
      ['outside, IPv4', 'outside', HOST_OUTER],
      ['outside, IPv6', 'outside', `[${HOST6_OUTER}]`],
    ] as const;
    const SERVERS = [
      ['of IPv4 alone', P4],
      ['of IPv6 alone', P6],
    ] as const;
    for (const [client, where, address] of WAYS) {
      for (const [server, port] of SERVERS) {
        it(`a client of ${client} reaches a server ${server}`, async () => {
          const url = `http://${address}:${port}/`;
          assert.equal(await lab[where].run('curl', '-gsS', '-m', '5', url), HELLO);
        });
      }
      it(`16 MiB each way to a server of IPv6: ${client}`, async () => {
        await download(lab[where], `http://${address}:${P6}`, 16 * MIB);
        await upload(lab[where], `http://${address}:${P6}`, 16 * MIB);
      });
    }

    const PEERS = [
      ['the loopback, IPv4', 'host', '127.0.0.1', HOST],
      ['the loopback, IPv6', 'host', '::1', HOST6],
      ['outside, IPv4', 'outside', HOST_OUTER, OUTSIDE],
      ['outside, IPv6', 'outside', HOST6_OUTER, OUTSIDE6],
    ] as const;
    for (const [client, where, address, source] of PEERS) {
      it(`the guest sees a client of ${client} as ${source}`, async () => {
        const command = `nc -N ${address} ${P_PEER} </dev/null`;
        assert.equal(await lab[where].run('sh', '-c', command), `${source}\n`);
      });
    }

    it('a port of localhost is on both loopbacks', async () => {
      for (const address of ['127.0.0.1', '[::1]']) {
        const url = `http://${address}:${P_LOCAL}/`;
        assert.equal(await lab.host.run('curl', '-gsS', '-m', '5', url), HELLO);
      }
    });

    for (const [client, where, address] of PEERS) {
      for (const [server, port] of [
        ['of IPv4 alone', P_UDP4],
        ['of IPv6 alone', P_UDP],
      ] as const) {
        it(`UDP, 1 to 60,000 bytes, ${client}, to a server ${server}`, async () => {
          for (const size of ['1', '1400', '60000']) {
            const args = ['udp', address, String(port), size];
            const { got } = JSON.parse(await lab[where].run(process.execPath, HELD, ...args));
            assert.equal(got, 'equal', size);
          }
        });
      }
    }

    it('a port is taken on both families or on neither', async () => {
      const main = fileURLToPath(new URL('../../bin/hawser.js', import.meta.url));
      const env = ['env', `XDG_RUNTIME_DIR=${lab.dir}`, process.execPath, main];
      for (const [held, port] of [
        ['0.0.0.0', 18_360],
        ['::1', 18_361],
      ] as const) {
        const listening = `require('net').createServer().listen({ port: ${port}, host: '${held}', ipv6Only: true }, () => console.log('held'))`;
        const holder = lab.host.start([process.execPath, '-e', listening]);
        await holder.prints(/held/);
        for (const where of [`*:${port}`, `${port}`]) {
          const { stderr } = await lab.host.try(...env, 'expose', `${where}:${ON4}`);
          assert.match(stderr, /listens there already/);
          const list = await lab.host.run('ss', '-Hltn', `sport = :${port}`);
          assert.equal(list.trim().split('\n').length, 1, list);
        }
        await holder.stop();
      }
    });

    it('the guest API, by IPv6: of any address of the guest, and no other', async () => {
      const api = `http://[${GATEWAY6}]/v1/ports`;
      const curl = (...args: string[]): Promise<string> =>
        guest.run('curl', '-gsS', '-m', '10', '-H', 'content-type: application/json', ...args);
      const post = async (body: object): Promise<{ id?: string; detail?: string }> =>
        JSON.parse(await curl('-d', JSON.stringify(body), api));
      const made = await post({ hostPort: 19_700, guestPort: ON6 });
      const text = await lab.host.run('curl', '-gsS', '-m', '5', 'http://[::1]:19700/');
      assert.equal(text, HELLO);
      await post({ hostPort: 19_701, guestPort: ON4, guestAddress: '192.168.127.2' });
      assert.equal(await lab.host.run('curl', '-gsS', '-m', '5', 'http://127.0.0.1:19701/'), HELLO);
      const other = await post({ guestPort: 80, guestAddress: '192.168.127.3' });
      assert.match(other.detail ?? '', /not yours/);
      const by4 = JSON.parse(await curl('http://192.168.127.1/v1/ports'));
      assert.equal(by4.ports.length, 2, 'its own, by either family');
      await curl('-X', 'DELETE', `http://192.168.127.1/v1/ports/${made.id}`);
      assert.equal(JSON.parse(await curl(api)).ports.length, 1);
    });

    it("gvproxy's API and VPNKit's take IPv6 addresses of the host and of guests", async () => {
      const socket = `${lab.path('hawser')}/default/api.sock`;
      const post = (path: string, body: object, method = 'POST'): Promise<string> =>
        lab.host.run(
          ...['curl', '-gsS', '-m', '5', '--unix-socket', socket, '-X', method],
          ...[
            '-H',
            'content-type: application/json',
            '-d',
            JSON.stringify(body),
            `http://d/${path}`,
          ],
        );
      const gvproxy = { local: '[::1]:19710', remote: `[${guest6}]:${ON6}`, protocol: 'tcp' };
      assert.equal(await post('services/forwarder/expose', gvproxy), '');
      const all = JSON.parse(
        await lab.host.run(
          'curl',
          '-s',
          '--unix-socket',
          socket,
          'http://d/services/forwarder/all',
        ),
      );
      assert.ok(
        JSON.stringify(all).includes(JSON.stringify(gvproxy).slice(1, -1)),
        JSON.stringify(all),
      );
      const vpnkit = { proto: 'tcp', out_ip: '::1', out_port: 19_711, in_ip: guest6, in_port: ON6 };
      assert.equal(await post('forwards/expose/port', vpnkit, 'PUT'), '');
      for (const port of [19_710, 19_711]) {
        const url = `http://[::1]:${port}/`;
        assert.equal(await lab.host.run('curl', '-gsS', '-m', '5', url), HELLO);
      }
      assert.equal(await post('services/forwarder/unexpose', { local: '[::1]:19710' }), '');
      assert.equal(await post('forwards/unexpose/port', vpnkit, 'DELETE'), '');
      const left = await lab.host.run('ss', '-Hltn', 'sport >= :19710 and sport <= :19711');
      assert.equal(left, '');
    });

    it('a guest by its IPv6 address in brackets', async () => {
      const main = fileURLToPath(new URL('../../bin/hawser.js', import.meta.url));
      const env = ['env', `XDG_RUNTIME_DIR=${lab.dir}`, process.execPath, main];
      await lab.host.run(...env, 'expose', `[::1]:19720:[${guest6}]:${ON6}`);
      const text = await lab.host.run('curl', '-gsS', '-m', '5', 'http://[::1]:19720/');
      assert.equal(text, HELLO);
      assert.match(await lab.host.run(...env, 'ports'), /\[::1\]:19720/);
      assert.match(await lab.host.run(...env, 'status'), /fd12:3456:0:1::\/64, default route/);
      const guests = JSON.parse(await daemon.request('/v1/guests')).guests[0].addresses;
      assert.ok(guests.includes(guest6) && guests.includes('192.168.127.2'), String(guests));
    });

    it('leads to the address that the guest keeps, though it prefers a temporary one itself', async () => {
      await guest.run('sysctl', '-qw', 'net.ipv6.conf.eth0.use_tempaddr=2');
      await until('a temporary address', async () => {
        await guest.try('rdisc6', '-1', '-r', '1', 'eth0');
        const shown = await guest.run('ip', '-6', 'addr', 'show', 'dev', 'eth0', 'temporary');
        return shown.includes('fd12:') && !shown.includes('tentative');
      });
      await guest.run('ping', '-6', '-c', '1', '-W', '5', GATEWAY6); // by the temporary one
      await lab.startServers(guest, '::', ON_ALL);
      const url = `http://[::1]:${P_ALL}/bytes/${16 * MIB}?seed=1`;
      const slow = ['--limit-rate', '1M', '-o', '/dev/null'];
      const client = lab.host.start(['curl', '-gsS', ...slow, url]);
      const ends = await until('its connection', async () => {
        const shown = await guest.run('ss', '-Htn', `sport = :${ON_ALL}`);
        return shown !== '' && shown;
      });
      await client.stop();
      assert.ok(ends.includes(`[${guest6}]:${ON_ALL}`), ends);
    });

    it('UDP is answered from the address that was asked, be it another of the host', async () => {
      await lab.host.run('ip', 'addr', 'add', '2001:db8:18::77/64', 'dev', 'up0', 'nodad');
      const script = `const s = require('dgram').createSocket('udp6');
      s.connect(${P_UDP}, '2001:db8:18::77', () => s.send('x'));
      s.on('message', (m) => { console.log(String(m)); process.exit(); });
      setTimeout(() => { console.log('silence'); process.exit(); }, 3000);`;
      assert.equal(await lab.outside.run(process.execPath, '-e', script), 'x\n');
    });

    it('the PROXY protocol carries a client of IPv6 to a server of IPv4', async () => {
      const spec = `*:${P_PROXY}:${ON4 + 1}`;
      const main = fileURLToPath(new URL('../../bin/hawser.js', import.meta.url));
      const env = ['env', `XDG_RUNTIME_DIR=${lab.dir}`, process.execPath, main];
      await lab.host.run(...env, 'expose', spec, '--proxy-protocol', 'v1');
      const sum = await lab.outside.run(
        ...['sh', '-c', `printf abc | nc -N -p 4444 ${HOST6_OUTER} ${P_PROXY}`],
      );
      const header = `PROXY TCP6 ${OUTSIDE6} ${HOST6_OUTER} 4444 ${P_PROXY}\r\nabc`;
      assert.match(sum, new RegExp(`^bytes=${header.length} `));
    });

    it('a guest without IPv4 is reached by clients of IPv4, who are the gateway to it', async () => {
      const addresses = await guest.run('ip', '-4', '-o', 'addr', 'show', 'dev', 'eth0');
      const [address = ''] = /\d+\.\d+\.\d+\.\d+\/\d+/.exec(addresses) ?? [];
      await guest.run('ip', 'addr', 'del', address, 'dev', 'eth0');
      const command = `nc -N ${HOST_OUTER} ${P_PEER} </dev/null`;
      assert.equal(await lab.outside.run('sh', '-c', command), `${GATEWAY6}\n`);
      await guest.lease();
    });

    it('a guest that loses IPv6 is reached by clients of IPv6', async () => {
      await guest.run('sysctl', '-qw', 'net.ipv6.conf.eth0.disable_ipv6=1');
      const url = `http://[::1]:${P4}/`;
      assert.equal(await lab.host.run('curl', '-gsS', '-m', '5', url), HELLO);
      assert.equal(await lab.host.run('curl', '-gsS', '-m', '5', url), HELLO);
    });
  },
);
