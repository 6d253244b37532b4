/** The SSH forwards of `hawser-gvproxy`: podman machine's `-forward-sock`, and `ssh-tunnel` of the API, with OpenSSH in the guest. */
import assert from 'node:assert/strict';
import { existsSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { LAB, systemSuite } from '../support/requirements.ts';
import { type Guest, Lab } from './support/lab.ts';
import { Background } from './support/processes.ts';
import { SshGuest } from './support/ssh-guest.ts';
import { until } from './support/until.ts';

const GVPROXY = fileURLToPath(new URL('../../bin/hawser-gvproxy.js', import.meta.url));
const MACHINE_MAC = '5a:94:ef:e4:0c:ee';
const MACHINE = '192.168.127.2';

systemSuite(
  'SSH forwards of hawser-gvproxy',
  [...LAB, 'gcc', 'curl', 'sshd', 'ssh-keygen'],
  function () {
    this.timeout(60_000);
    let lab: Lab;
    let guest: Guest;
    let ssh: SshGuest;
    let key: string;
    let gvproxy: Background;
    let bridge: Background;

    const curl = (socket: string, ...args: string[]): Promise<string> =>
      lab.host.run('curl', '-sS', '-m', '40', '--unix-socket', lab.path(socket), ...args);
    const api = (path: string, body: object): Promise<string> => {
      const data = ['-d', JSON.stringify(body), '-w', '%{http_code}'];
      return curl('api.sock', ...data, `http://gvproxy/services/forwarder/${path}`);
    };

    before(async () => {
      lab = await Lab.open();
      guest = await lab.addGuest({ bridgeTo: lab.path('qemu.sock') });
      ssh = new SshGuest(lab, guest);
      key = await ssh.makeKey('ed25519');
      const flags = [
        ...['-mtu', '1500', '-ssh-port', '-1', '-listen-qemu', `unix://${lab.path('qemu.sock')}`],
        ...['-forward-sock', lab.path('podman.sock'), '-forward-dest', ssh.httpSocket],
        ...['-forward-user', 'root', '-forward-identity', key],
        ...['-services', `unix://${lab.path('api.sock')}`],
      ];
      gvproxy = lab.track(new Background(lab.host.enter([GVPROXY, ...flags]), {}));
      await until('the socket for QEMU', () => existsSync(lab.path('qemu.sock')));
      await ssh.startService();
    });
    after(async () => {
      await ssh.stopServer();
      await lab.close();
    });

    it('-forward-sock is there with the socket for QEMU; a client waits until the machine has booted', async () => {
      assert.equal(statSync(lab.path('podman.sock')).mode & 0o777, 0o600);
      const waiting = curl('podman.sock', 'http://d/_ping');
      bridge = (await guest.plug()) ?? assert.fail('no bridge');
      await guest.run('ip', 'link', 'set', 'dev', 'eth0', 'address', MACHINE_MAC);
      assert.equal((await guest.lease()).address, MACHINE);
      await ssh.startServer();
      assert.equal(await waiting, 'OK');
    });

    it('ssh-tunnel of the API, and what it refuses', async () => {
      const local = lab.path('tunnel.sock');
      const server = `ssh-tunnel://root@${MACHINE}:22`;
      const remote = `${server}${ssh.httpSocket}?key=${key}`;
      const body = { local, remote, protocol: 'unix' };
      const refused: readonly [string, RegExp][] = [
        [`${server}${ssh.httpSocket}`, /^key not provided for unix-ssh connection\n500$/],
        [`${server}/?key=${key}`, /^remote uri must contain a path to a socket file\n500$/],
        [`${server}${ssh.httpSocket}?key=/none`, /ENOENT|EACCES/],
      ];
      for (const [other, answer] of refused) {
        assert.match(await api('expose', { ...body, remote: other }), answer);
      }
      assert.equal(await api('expose', body), '200');
      assert.equal(await curl('tunnel.sock', 'http://d/_ping'), 'OK');
      assert.match(await api('expose', body), /^proxy already running for unix on \S+\n500$/);
      assert.ok((await api('all', {})).includes(JSON.stringify(body)));
      assert.equal(await api('unexpose', { local, protocol: 'unix' }), '200');
      assert.ok(!existsSync(local));
    });

    it('sockets go with the machine', async () => {
      await bridge.stop('SIGKILL');
      assert.equal(await gvproxy.exited, 0, gvproxy.stderr);
      for (const name of ['podman.sock', 'api.sock', 'qemu.sock']) {
        assert.ok(!existsSync(lab.path(name)), name);
      }
    });
  },
);
