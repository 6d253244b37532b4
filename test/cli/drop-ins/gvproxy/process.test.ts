/** `hawser-gvproxy` as launchers start it, with a simulated guest or raw frames on its links. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { text as textOf } from 'node:stream/consumers';
import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { SimulatedGuest } from '../../../../src/lab/guest/simulated-guest.ts';
import { VPNKIT_FRAMING } from '../../../../src/transports/framing.ts';
import { guestOnStream } from '../../../network/attached-guest.ts';
import { until } from '../../../proxy/recording.ts';
import { connectedTo } from '../../../support/connected-to.ts';
import { arpFrame, GATEWAY_IP, GUEST_MAC } from '../../../support/frames.ts';
import { freePort } from '../../../support/free-port.ts';
import { itNeeding } from '../../../support/requirements.ts';
import { Vmn3tClient } from '../../../support/vmn3t-client.ts';
import { HAWSER, type Program, Workplace } from '../../process/hawser.ts';

const GVPROXY = fileURLToPath(new URL('../../../../bin/hawser-gvproxy.js', import.meta.url));
const GUEST_MAC_TEXT = '52:54:00:12:34:56';
/** Nobody has it by a lease. */
const FREE_IP = GATEWAY_IP + 9;

describe('hawser-gvproxy as a process', function () {
  this.timeout(60_000);
  let place: Workplace;
  let port: number;
  const guests: SimulatedGuest[] = [];
  beforeEach(async () => {
    place = new Workplace();
    port = await freePort();
  });
  afterEach(async () => {
    for (const guest of guests.splice(0)) await guest.close();
    await place.close();
  });

  const start = (...args: string[]): Program =>
    place.start(process.execPath, [GVPROXY, `-ssh-port=${port}`, ...args]);
  const qemu = (): string => `unix://${place.path('q.sock')}`;
  /** Ready. */
  const started = async (...args: string[]): Promise<Program> => {
    const program = start('-listen-qemu', qemu(), ...args);
    await program.says(/hawser is ready/);
    return program;
  };
  const ask = async (
    method: string,
    path: string,
    body = '',
    socket = 'net.sock',
  ): Promise<string> => {
    const headers = { 'content-type': 'application/json' };
    const where = { socketPath: place.path(socket), method, path, agent: false };
    const asked = request({ ...where, headers });
    asked.end(body);
    const [response] = await once(asked, 'response');
    return `${response.statusCode} ${await textOf(response)}`;
  };
  const guestOnline = async (): Promise<SimulatedGuest> => {
    const { guest } = guestOnStream(await connectedTo(place.path('q.sock')));
    guests.push(guest);
    await guest.lease();
    return guest;
  };

  it('-version, -help, an unknown flag, and a configuration that cannot be', () => {
    const run = (...args: string[]) => {
      const { status, stdout, stderr } = spawnSync(process.execPath, [GVPROXY, ...args], {
        encoding: 'utf8',
      });
      return { status, stdout, stderr };
    };
    const version = run('-version');
    assert.match(version.stdout, /^gvproxy version v\d+\.\d+\.\d+/);
    assert.equal(version.status, 0);
    const help = run('--help');
    assert.equal(help.status, 0);
    assert.match(help.stderr, /^Usage of hawser-gvproxy:\n.* {2}-ssh-port int\n/s);
    const unknown = run('-x');
    assert.equal(unknown.status, 2);
    assert.match(unknown.stderr, /^flag provided but not defined: -x\nUsage of /);
    const wrong = run('-mtu=-1');
    assert.deepEqual([wrong.status, wrong.stderr], [1, 'hawser-gvproxy: mtu is out of range\n']);
    const missing = run('-config', '/does/not/exist');
    assert.equal(missing.status, 1);
    assert.match(missing.stderr, /failed to read config file: ENOENT/);
  });

  it("hawser's own commands see it as podman starts it, where the launcher's environment says so", async () => {
    const args = [GVPROXY, `-ssh-port=${port}`, '-mtu', '1500', '-listen-qemu', qemu()];
    const program = place.start(process.execPath, args, { env: { HAWSER_API: 'on' } });
    await program.says(/hawser is ready/);
    await guestOnline();
    const name = `gvproxy-${program.pid}`;
    const leases = place.hawser(['leases', '--name', name, '--json']);
    assert.deepEqual(await leases.ended, { status: 0, signal: null });
    assert.match(leases.stdout, /"address": "192\.168\.127\.3"/); // beside that of the machine, which is static
    const socket = join('hawser', name, 'api.sock');
    const proxy = await ask('PUT', '/v1/proxy', '{"upstreamProxy":["http://p.test:1"]}', socket);
    assert.match(proxy, /^200 .*"http:\/\/p\.test:1"/);
    program.child.kill();
    assert.deepEqual(await program.ended, { status: 0, signal: null });
    assert.deepEqual(readdirSync(place.dir), []);
  });

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`${signal}: status 0, and nothing left but the log`, async () => {
      const api = `unix://${place.path('net.sock')}`;
      const services = `unix://${place.path('s.sock')}`;
      const files = ['-pid-file', place.path('pid'), '-log-file', place.path('log')];
      writeFileSync(place.path('log'), 'of the start before\n');
      const program = start(
        '-listen',
        api,
        '-services',
        services,
        '-listen-qemu',
        qemu(),
        ...files,
      );
      await until(() => existsSync(place.path('q.sock')));
      assert.equal(readFileSync(place.path('pid'), 'utf8'), `${program.pid}`);
      program.child.kill(signal);
      assert.deepEqual(await program.ended, { status: 0, signal: null });
      assert.deepEqual(readdirSync(place.dir), ['log']);
      const log = readFileSync(place.path('log'), 'utf8');
      assert.doesNotMatch(log, /of the start before/);
      for (const words of ['gvproxy version v[\\d.]+-hawser', 'waiting for clients\\.\\.\\.']) {
        assert.match(log, new RegExp(`^time="[\\dT:-]+Z" level=info msg="${words}"$`, 'm'));
      }
      assert.equal(program.stderr + program.stdout, '');
    });
  }

  it("the socket of the guest's link appears when all else accepts, and then accepts too", async () => {
    const api = `unix://${place.path('net.sock')}`;
    const services = `unix://${place.path('s.sock')}`;
    const files = ['-pid-file', place.path('pid')];
    const program = start('-listen', api, '-services', services, '-listen-qemu', qemu(), ...files);
    while (!existsSync(place.path('q.sock'))) await turn();
    assert.equal(readFileSync(place.path('pid'), 'utf8'), `${program.pid}`);
    for (const where of [
      { path: place.path('net.sock') },
      { path: place.path('s.sock') },
      { port },
    ]) {
      const socket = connect({ host: '127.0.0.1', ...where });
      await once(socket, 'connect');
      socket.destroy();
    }
    (await connectedTo(place.path('q.sock'))).destroy();
  });

  it('a guest over TCP: a lease, a name, and the end with it', async () => {
    const tcp = await freePort();
    const program = start('-listen-qemu', `tcp://127.0.0.1:${tcp}`);
    await program.says(/hawser is ready/);
    const socket = connect(tcp, '127.0.0.1');
    const { guest } = guestOnStream(socket);
    guests.push(guest);
    await guest.lease();
    assert.equal(await guest.resolve('host.docker.internal'), '192.168.127.254');
    socket.destroy();
    assert.deepEqual(await program.ended, { status: 0, signal: null });
  });

  it('without a link or an API it stays until it is told to end', async () => {
    const program = place.start(process.execPath, [GVPROXY, '-ssh-port=-1']);
    await program.says(/hawser is ready/);
    await pause(300);
    assert.equal(program.child.exitCode, null);
    program.child.kill();
    assert.equal((await program.ended).status, 0);
  });

  it('ends with the link of its guest', async () => {
    const program = await started('-pid-file', place.path('pid'));
    const guest = connect(place.path('q.sock'));
    await program.says(/guest link up/);
    guest.destroy();
    assert.deepEqual(await program.ended, { status: 0, signal: null });
    assert.deepEqual(readdirSync(place.dir), []);
  });

  it('-exit-with-guest=never: accepts the next', async () => {
    const program = await started('-exit-with-guest=never');
    for (let i = 0; i < 2; i++) {
      const guest = connect(place.path('q.sock'));
      await program.says(/guest link up/);
      guest.destroy();
      await program.says(/guest link down/);
      program.stderr = '';
    }
  });

  it('SIGKILL frees everything at once: the same command line starts again', async () => {
    const args = ['-pid-file', place.path('pid'), '-listen', `unix://${place.path('net.sock')}`];
    const killed = await started(...args);
    await guestOnline();
    const before = performance.now();
    killed.child.kill('SIGKILL');
    await killed.ended;
    const probe = createServer().listen(port, '127.0.0.1');
    await once(probe, 'listening');
    assert.ok(performance.now() - before < 255);
    probe.close();
    await once(probe, 'close');
    const again = await started(...args);
    assert.equal(readFileSync(place.path('pid'), 'utf8'), `${again.pid}`);
    assert.match(await ask('GET', '/services/forwarder/all'), /^200 \[\{/);
  });

  it('a socket, port or pid file of another that lives: status 1, and says so', async () => {
    await started('-pid-file', place.path('pid'));
    const same = start('-listen-qemu', qemu());
    assert.equal((await same.ended).status, 1);
    assert.match(same.stderr, /cannot forward 127\.0\.0\.1:\d+.*address already in use/);
    port = await freePort();
    const socket = start('-listen-qemu', qemu());
    assert.equal((await socket.ended).status, 1);
    assert.match(socket.stderr, /q\.sock/);
    const pid = start('-pid-file', place.path('pid'));
    assert.equal((await pid.ended).status, 1);
    assert.match(pid.stderr, /belongs to the running process/);
  });

  it('notifications: ready, then of each Ethernet address; an end of the link', async () => {
    const { socket, messages } = await notified(place.path('n'));
    const program = await started(
      '-notification',
      `unix://${place.path('n')}`,
      '-exit-with-guest=never',
    );
    await until(() => messages.length === 1);
    const guest = connect(place.path('q.sock'));
    sendFrame(guest, arpFrame(1, GUEST_MAC, FREE_IP, GATEWAY_IP));
    await until(() => messages.length === 2);
    guest.destroy();
    await until(() => messages.length === 3);
    assert.deepEqual(messages, [
      '{"notification_type":"ready"}\n',
      `{"notification_type":"connection_established","mac_address":"${GUEST_MAC_TEXT}"}\n`,
      `{"notification_type":"connection_closed","mac_address":"${GUEST_MAC_TEXT}"}\n`,
    ]);
    program.child.kill();
    await program.ended;
    socket.close();
  });

  for (const [how, end] of [
    ['its link closes', (guest: Socket): unknown => guest.destroy()],
    ['it is told to', (_guest: Socket, program: Program): unknown => program.child.kill()],
  ] as const) {
    it(`notifications: where it ends with its guest, the last is of the end: ${how}`, async () => {
      const { socket, messages } = await notified(place.path('n'));
      const program = await started('-notification', `unix://${place.path('n')}`);
      const guest = connect(place.path('q.sock'));
      sendFrame(guest, arpFrame(1, GUEST_MAC, FREE_IP, GATEWAY_IP));
      await until(() => messages.length === 2);
      end(guest, program);
      assert.equal((await program.ended).status, 0);
      guest.destroy();
      await until(() => messages.length === 3);
      assert.match(messages[2] ?? '', /"connection_closed","mac_address":"[0-9a-f:]+"}\n$/);
      socket.close();
    });
  }

  it('notifications: a link that cannot be opened; and a launcher that is not there is no harm', async () => {
    const { socket, messages } = await notified(place.path('n'));
    writeFileSync(place.path('q.sock'), 'not a socket');
    const program = start('-notification', `unix://${place.path('n')}`, '-listen-qemu', qemu());
    assert.equal((await program.ended).status, 1);
    assert.deepEqual(messages, ['{"notification_type":"hypervisor_error"}\n']);
    socket.close();
    const alone = start('-notification', 'unix:///does/not/exist');
    await alone.says(/hawser is ready/);
    await alone.says(/failed to send notification/);
  });

  it("a guest's lease, names and forwards; hawser's own commands work beside", async () => {
    await started('-sandbox=on', '-listen', `unix://${place.path('net.sock')}`);
    const guest = await guestOnline();
    assert.equal(await guest.resolve('gateway.containers.internal'), '192.168.127.1');
    assert.equal(await guest.resolve('HOST.Docker.internal'), '192.168.127.254');
    const zone = { Name: 'Test.', Records: [{ Regexp: '^api-\\d+$', IP: '10.1.2.3' }] };
    assert.equal(await ask('POST', '/services/dns/add', JSON.stringify(zone)), '200 ');
    assert.equal(await guest.resolve('api-7.test'), '10.1.2.3');
    assert.match(await ask('GET', '/leases'), /"192\.168\.127\.3":"/);
    assert.match(await ask('GET', '/cam'), /^200 \{"[\da-f:]+":0\}\n$/);
    const stats = JSON.parse((await ask('GET', '/stats')).slice('200 '.length));
    assert.ok(stats.BytesReceived > 0 && stats.NICs.Rx.Packets > 0);
    const status = spawnSync(
      process.execPath,
      [HAWSER, 'status', '--api', `unix:${place.path('net.sock')}`],
      { encoding: 'utf8' },
    );
    assert.equal(status.status, 0, status.stderr);
    assert.match(status.stdout, /192\.168\.127\.1/);
  });

  for (const [args, env, mode] of [
    [[], {}, 'off'],
    [[], { HAWSER_SANDBOX: 'on' }, 'on'],
    [['-sandbox=on'], {}, 'on'],
    [['-sandbox=off'], { HAWSER_SANDBOX: 'on' }, 'off'],
  ] as const) {
    it(`the sandbox with ${JSON.stringify([args, env])}: ${mode}`, async () => {
      const links = ['-listen-qemu', qemu(), '-listen', `unix://${place.path('net.sock')}`];
      const argv = [GVPROXY, '-ssh-port=-1', ...links, ...args];
      await place.start(process.execPath, argv, { env }).says(/hawser is ready/);
      const { sandbox } = JSON.parse((await ask('GET', '/v1/info')).slice('200 '.length));
      assert.equal(sandbox.mode, mode);
    });
  }

  it('a file as CRC has it: zones with patterns and a default, an MTU, forwards of both protocols', async () => {
    const [tcp, udp] = [await freePort(), await freePort()];
    writeFileSync(
      place.path('config.yaml'),
      `listen: [unix://${place.path('net.sock')}]
log-level: debug
log-file: ${place.path('log')}
interfaces: {qemu: ${qemu()}}
stack:
  mtu: 4000
  gatewayMacAddress: 52:54:00:00:00:01
  dns:
    - name: apps-crc.testing.
      defaultIP: 192.168.127.2
    - name: crc.testing.
      records:
        - {name: host, ip: 192.168.127.254}
        - {name: gateway, ip: 192.168.127.1}
        - {regexp: '^crc-(.*?)-master-0$', ip: 192.168.126.11}
        - {name: api, ip: 192.168.127.2}
  forwards:
    127.0.0.1:${tcp}: 192.168.127.2:6443
    udp:127.0.0.1:${udp}: 192.168.127.2:53
  dhcpStaticLeases: {192.168.127.2: 5a:94:ef:e4:0c:ee}
  dnsSearchDomains: [crc.testing]
`,
    );
    writeFileSync(place.path('log'), 'of an earlier start\n');
    const program = start('-config', place.path('config.yaml'));
    await until(() => existsSync(place.path('q.sock')));
    const guest = await guestOnline();
    for (const [name, address] of [
      ['console.apps-crc.testing', '192.168.127.2'],
      ['HOST.crc.testing', '192.168.127.254'],
      ['crc-abc12-master-0.crc.testing', '192.168.126.11'],
      ['api.crc.testing', '192.168.127.2'],
    ] as const) {
      assert.equal(await guest.resolve(name), address);
    }
    assert.equal(await guest.resolve('other.crc.testing'), '');
    assert.match(await ask('GET', '/leases'), /"192\.168\.127\.1":"52:54:00:00:00:01"/);
    assert.equal(
      await ask('GET', '/services/forwarder/all'),
      `200 ${JSON.stringify(
        [
          { local: `127.0.0.1:${tcp}`, remote: '192.168.127.2:6443', protocol: 'tcp' },
          { local: `127.0.0.1:${udp}`, remote: '192.168.127.2:53', protocol: 'udp' },
        ].sort((one, other) => (one.local < other.local ? -1 : 1)),
      )}\n`,
    );
    assert.doesNotMatch(readFileSync(place.path('log'), 'utf8'), /of an earlier start/);
    assert.match(readFileSync(place.path('log'), 'utf8'), /level=debug/);
    assert.ok(program.child.exitCode === null);
  });

  it('a Unix socket that is published by the API, in the runtime directory, leads to the guest', async () => {
    await started('-listen', `unix://${place.path('net.sock')}`);
    const guest = await guestOnline();
    const remote = `tcp://192.168.127.3:${await guest.serve()}`;
    const local = place.path('forward.sock');
    const body = JSON.stringify({ local, remote, protocol: 'unix' });
    assert.equal(await ask('POST', '/services/forwarder/expose', body), '200 ');
    assert.match(
      await ask('GET', '/services/forwarder/all'),
      /"local":"[^"]*forward\.sock","remote":"tcp:/,
    );
    const client = connect(local);
    await once(client, 'connect');
    client.destroy();
    assert.equal(await ask('POST', '/services/forwarder/unexpose', body), '200 ');
    assert.equal(existsSync(local), false);
  });

  it('-services has no /connect, -listen has', async () => {
    const services = place.path('s.sock');
    const program = await started(
      ...['-listen', `unix://${place.path('net.sock')}`, '-services', `unix://${services}`],
      '-exit-with-guest=never',
    );
    const refused = connect(services);
    refused.write('POST /connect HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    assert.match(await textOf(refused), /^HTTP\/1\.1 404 /);
    const link = connect(place.path('net.sock'));
    link.write('POST /connect HTTP/1.1\r\nHost: \r\n\r\n');
    sendFrame(link, arpFrame(1, GUEST_MAC, FREE_IP, GATEWAY_IP));
    await program.says(/guest link up/);
    const [answer] = await once(link, 'data');
    // With -listen-qemu, as QEMU delimits frames.
    const len = answer.readUInt32BE(0);
    assert.ok(len >= 42 && len + 4 <= answer.length);
    link.destroy();
  });

  it('stdio: frames and nothing else, as gvforwarder starts it; its end is the end', async () => {
    const flags = ['-debug=0', '-ssh-port=-1', '-listen-stdio=accept', '-mtu=4000'];
    const program = place.start(process.execPath, [GVPROXY, ...flags], { stdio: 'pipe' });
    const { stdin, stdout } = program.child;
    assert.ok(stdin !== null && stdout !== null);
    stdout.removeAllListeners('data');
    const wire = Duplex.from({ readable: stdout, writable: stdin });
    const { guest } = guestOnStream(wire, VPNKIT_FRAMING);
    guests.push(guest);
    const lease = await guest.lease();
    assert.equal(lease.mtu, 4000);
    assert.equal(await guest.resolve('gateway.containers.internal'), '192.168.127.1');
    stdin.end();
    assert.deepEqual(await program.ended, { status: 0, signal: null });
  });

  const arp = arpFrame(1, GUEST_MAC, FREE_IP, GATEWAY_IP);
  const isAnswer = (frame: Buffer): boolean =>
    frame.subarray(0, 6).toString('hex') === GUEST_MAC_TEXT.replaceAll(':', '');

  itNeeding('vfkit: datagrams; bess: packets', ['koffi'], async () => {
    const { MessageClient } = await import('../../../transports/messages/message-client.ts');
    for (const [flag, scheme] of [
      ['-listen-vfkit', 'unixgram'],
      ['-listen-bess', 'unixpacket'],
    ] as const) {
      const socket = place.path(`${scheme}.sock`);
      const program = start(flag, `${scheme}://${socket}`);
      await program.says(/hawser is ready/);
      const machine =
        scheme === 'unixgram'
          ? MessageClient.datagrams(place.path('machine.sock')).connect(socket)
          : MessageClient.packets(socket);
      if (scheme === 'unixgram') machine.send(Buffer.from('VFKT'));
      assert.equal(machine.send(arp), 'ok');
      while (!isAnswer(await machine.next()));
      machine.close();
      assert.deepEqual(await program.ended, { status: 0, signal: null });
    }
  });

  it('-exit-with-guest=always: with a guest of /connect, and one of vpnkit, too', async () => {
    const always = '-exit-with-guest=always';
    const api = start('-listen', `unix://${place.path('net.sock')}`, always);
    await api.says(/hawser is ready/);
    const link = connect(place.path('net.sock'));
    link.write('POST /connect HTTP/1.1\r\nHost: \r\n\r\n');
    await api.says(/guest link up/);
    link.destroy();
    assert.deepEqual(await api.ended, { status: 0, signal: null });
    const vpnkit = start('-listen-vpnkit', `unix://${place.path('v.sock')}`, always);
    await vpnkit.says(/hawser is ready/);
    const client = await Vmn3tClient.at(place.path('v.sock'));
    await client.open('c3d68012-0208-11ea-9fd7-f2189899ab08');
    await vpnkit.says(/guest link up/);
    client.socket.destroy();
    assert.deepEqual(await vpnkit.ended, { status: 0, signal: null });
  });

  it('vpnkit: the Ethernet address that the UUID has in the configuration', async () => {
    await start('-listen-vpnkit', `unix://${place.path('v.sock')}`).says(/hawser is ready/);
    const client = await Vmn3tClient.at(place.path('v.sock'));
    const { mac, mtu } = await client.open('c3d68012-0208-11ea-9fd7-f2189899ab08');
    assert.deepEqual([mac, mtu], ['5a:94:ef:e4:0c:ee', 1500]);
    client.socket.destroy();
  });

  it('-pcap: Ethernet frames, ARP too', async () => {
    const program = await started('-pcap', place.path('all.pcap'), '-exit-with-guest=never');
    const frame = arpFrame(1, GUEST_MAC, FREE_IP, GATEWAY_IP);
    const guest = connect(place.path('q.sock'));
    sendFrame(guest, frame);
    await once(guest, 'data');
    guest.destroy();
    await program.says(/guest link down/);
    program.child.kill();
    await program.ended;
    const bytes = readFileSync(place.path('all.pcap'));
    assert.equal(bytes.readUInt32LE(0), 0xa1b2c3d4);
    assert.equal(bytes.readUInt32LE(20), 1);
    const captured = records(bytes).map((one) => one.toString('hex'));
    assert.ok(captured.includes(Buffer.from(frame).toString('hex')), 'what the guest sent');
    const answer = GUEST_MAC_TEXT.replaceAll(':', '');
    assert.ok(
      captured.some((one) => one.startsWith(answer)),
      'what it got',
    );
  });

  itNeeding('-pcap: tcpdump reads it', ['tcpdump'], async () => {
    const program = await started('-pcap', place.path('all.pcap'), '-exit-with-guest=never');
    const guest = await guestOnline();
    assert.equal(await guest.resolve('gateway.containers.internal'), '192.168.127.1');
    program.child.kill();
    await program.ended;
    const { status, stdout, stderr } = spawnSync(
      'tcpdump',
      ['-nr', place.path('all.pcap'), '-Z', userInfo().username],
      { encoding: 'utf8' },
    );
    assert.equal(status, 0, stderr);
    assert.match(stderr, /link-type EN10MB/);
    assert.match(stdout, /BOOTP\/DHCP, Request/);
    assert.match(stdout, / > 192\.168\.127\.1\.53: .*A\? gateway\.containers\.internal/);
    assert.match(stdout, /192\.168\.127\.1\.53 > .* A 192\.168\.127\.1 /);
    assert.doesNotMatch(stdout + stderr, /truncated|\[\|/);
  });
});

function records(pcap: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let at = 24; at < pcap.length; ) {
    const len = pcap.readUInt32LE(at + 8);
    found.push(pcap.subarray(at + 16, at + 16 + len));
    at += 16 + len;
  }
  return found;
}

function sendFrame(link: Socket, frame: Uint8Array): void {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(frame.length);
  link.write(Buffer.concat([head, frame]));
}

async function notified(path: string) {
  const messages: string[] = [];
  const socket = createServer((connection) => {
    void textOf(connection).then((message) => messages.push(message));
  });
  socket.listen(path);
  await once(socket, 'listening');
  return { socket, messages };
}
