/** Ports of containers of a real dockerd with IPv6, published through hawser's guest API; and what containers reach. */
import assert from 'node:assert/strict';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { Docker, ECHO, HTTPD } from './support/docker.ts';
import { addIpv6, HOST6_OUTER, OUTSIDE6, SUBNET6, slaacAddress } from './support/ipv6.ts';
import { type Guest, HOST_OUTER, HTTP_PORT, Lab } from './support/lab.ts';
import { published } from './support/published.ts';
import { until } from './support/until.ts';

/** Of containers. */
const BRIDGE6 = 'fd00:d0c:1::/64';

systemSuite(
  'dockerd with IPv6',
  [...LAB, 'ipv6', 'docker', 'iptables', 'gcc', 'curl', 'nc'],
  function () {
    this.timeout(180_000);
    let lab: Lab;
    let guest: Guest;
    let daemon: Daemon;
    let docker: Docker;

    before(async () => {
      lab = await Lab.open();
      await addIpv6(lab);
      const api = ['--guest-api', 'on', '--guest-api-bind', '*:1-65535'];
      ({ guest, daemon } = await lab.standard(['--subnet6', SUBNET6, ...api]));
      // dockerd has the guest forward, and Linux then takes no routes from advertisements unless this is 2.
      await guest.run('sysctl', '-qw', 'net.ipv6.conf.eth0.accept_ra=2');
      await slaacAddress(guest);
      await lab.startServers(lab.outside, OUTSIDE6);
      docker = new Docker(lab, guest, {
        args: ['--ipv6', '--fixed-cidr-v6', BRIDGE6, '--experimental', '--ip6tables'],
      });
      await docker.start();
      await docker.importImage();
    });
    after(async () => {
      await docker?.close();
      await lab?.close();
    });
    afterEach(async () => {
      assert.ok(daemon.isRunning, daemon.stderr);
      await docker.removeContainers();
      await until('every port to be free', async () => (await published(daemon)).length === 0);
    });

    const curl = (from: 'host' | 'outside', url: string): Promise<string> =>
      lab[from].run('curl', '-gsS', '-m', '5', url);
    const WAYS = [
      ['host', '127.0.0.1'],
      ['host', '[::1]'],
      ['outside', HOST_OUTER],
      ['outside', `[${HOST6_OUTER}]`],
    ] as const;

    it('docker run -p 8080:80 answers clients of both families', async () => {
      const id = await docker.container('web', ['8080:80'], HTTPD);
      const hello = `hello from ${id.slice(0, 12)}\n`;
      await until('the server', async () => await curl('host', 'http://127.0.0.1:8080/'));
      for (const [from, address] of WAYS) {
        assert.equal(await curl(from, `http://${address}:8080/`), hello, address);
      }
      assert.deepEqual(await published(daemon), ['0.0.0.0 8080/tcp', ':: 8080/tcp']);
    });

    it('-p [::1]:8081:80 answers on that loopback alone', async () => {
      await docker.container('lo', ['[::1]:8081:80'], HTTPD);
      await until('the server', async () => await curl('host', 'http://[::1]:8081/'));
      const { status } = await lab.host.try('curl', '-sS', 'http://127.0.0.1:8081/');
      assert.equal(status, 7);
      assert.deepEqual(await published(daemon), ['::1 8081/tcp']);
    });

    it('UDP, to both families', async () => {
      await docker.container('udp', ['8082:80/udp'], ECHO);
      for (const address of ['127.0.0.1', '::1']) {
        const script = `printf x | nc -u -w 1 ${address} 8082`;
        await until(
          `an answer from ${address}`,
          async () => await lab.host.run('sh', '-c', script),
        );
      }
    });

    it('a container reaches the outside by IPv6', async () => {
      const command = `exec nc ${OUTSIDE6} ${HTTP_PORT + 3} </dev/null`;
      await docker.container('client', [], command);
      await until(
        'the answer',
        async () => (await docker.try('logs', 'client')).stdout === 'hello\n',
      );
    });
  },
);
