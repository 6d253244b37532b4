/** `hawser-vpnkit` as RootlessKit and Docker's launchers start it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { goDiscover, offered } from '../support/go-vmnet.ts';
import { LAB, systemSuite } from '../support/requirements.ts';
import { Vmn3tClient } from '../support/vmn3t-client.ts';
import { type Guest, HTTP_PORT, Lab, OUTSIDE } from './support/lab.ts';
import type { Background } from './support/processes.ts';
import { until } from './support/until.ts';

const PROGRAM = fileURLToPath(new URL('../../bin/hawser-vpnkit.js', import.meta.url));
const AGENT = fileURLToPath(new URL('../../hawser-agent.mjs', import.meta.url));
const UUID = '4a1b2c3d-0000-4000-8000-000000000001';
const BYTES = 100_000_000;
const UDP_SERVER = `
  const socket = require('node:dgram').createSocket('udp4');
  socket.on('message', (bytes, { port, address }) =>
    socket.send(String(bytes).toUpperCase(), port, address));
  socket.bind(9053, '127.0.0.1');`;
/** Accepts connections to one port of one address, which end at a server of its own host. */
const TUNNEL_SERVER = `
  const { createServer, connect } = require('node:net');
  createServer((client) => client.once('data', (bytes) => {
    const { dst_ip, dst_port } = JSON.parse(bytes.subarray(2));
    const accepted = dst_ip === '10.20.30.40' && dst_port === 80;
    const json = JSON.stringify({ accepted });
    client.write(Buffer.concat([Buffer.of(json.length, 0), Buffer.from(json)]));
    client.on('error', () => {});
    if (!accepted) return client.end();
    const server = connect(process.argv[2], '127.0.0.1').on('error', () => client.destroy());
    client.pipe(server).pipe(client);
  })).listen(process.argv[1], () => console.log('listening'));`;
/** RootlessKit polls without a pause, and gives up. */
const START_MS = 10_000;

systemSuite('vpnkit', [...LAB, 'tcpdump', 'gcc', 'curl', 'dig', 'nc'], function () {
  this.timeout(120_000);
  let lab: Lab;
  let ethernet: string;

  beforeEach(async () => {
    lab = await Lab.open();
    ethernet = lab.path('vpnkit-ethernet.sock');
    await lab.startServers(lab.host);
    await lab.startServers(lab.outside);
  });
  afterEach(() => lab.close());

  const start = (...args: readonly string[]): Background =>
    lab.host.start([process.execPath, PROGRAM, '--ethernet', ethernet, ...args]);
  /** The first connection that is accepted. */
  const connected = (): Promise<Vmn3tClient> =>
    until('the socket to accept', () => Vmn3tClient.at(ethernet).catch(() => undefined), START_MS);

  /** A guest as RootlessKit sets it up: with what it knows by heart. */
  async function child(address: string): Promise<Guest> {
    const guest = await lab.addGuest({ bridgeTo: ethernet, framing: `vmn3t=${UUID}` });
    await guest.plug();
    await guest.run('ip', 'addr', 'add', `${address}/24`, 'dev', 'eth0');
    await guest.run('ip', 'link', 'set', 'eth0', 'up');
    await guest.run('ip', 'route', 'add', 'default', 'via', '192.168.65.1');
    return guest;
  }
  const fetch = (guest: Guest, address: string, bytes = BYTES): Promise<string> =>
    guest.run(
      ...['curl', '-sS', '--max-time', '60', '-o', '/dev/null', '-w', '%{size_download}'],
      `http://${address}:${HTTP_PORT}/bytes/${bytes}`,
    );
  const dig = async (guest: Guest, name: string): Promise<string> =>
    (await guest.run('dig', '+short', '+time=5', '@192.168.65.1', name)).trim();

  it("RootlessKit: its parent takes an address and reads no more, its child's traffic goes on", async () => {
    const vpnkit = start('--mtu', '1500', '--host-ip', '0.0.0.0');
    const parent = await connected();
    const { mac, mtu } = await parent.open(UUID);
    parent.send(goDiscover(mac));
    const address = await offered(parent);
    assert.deepEqual([address, mtu], ['192.168.65.3', 1_500]);
    parent.stopReading();
    const guest = await child(address);
    assert.equal(await fetch(guest, OUTSIDE), `${BYTES}`);
    assert.equal(await dig(guest, 'gateway.internal'), '192.168.65.1');
    await assert.rejects(fetch(guest, '192.168.65.2', 1));
    await vpnkit.stop('SIGKILL');
    parent.close();
  });

  it('a socket that a killed one left behind is taken over', async () => {
    await connectedTo(start());
    const again = start();
    const client = await connected();
    await client.open(UUID);
    client.close();
    assert.ok(again.isRunning, again.stderr);
    assert.equal(await again.stop('SIGTERM'), 0);
    await assert.rejects(Vmn3tClient.at(ethernet), { code: 'ENOENT' });
  });
  async function connectedTo(vpnkit: Background): Promise<void> {
    (await connected()).close();
    await vpnkit.stop('SIGKILL');
  }

  it('ports are published by the API, at the addresses that are allowed', async () => {
    const port = lab.path('port.sock');
    start('--port', port, '--allowed-bind-addresses', '127.0.0.1');
    (await connected()).close();
    const guest = await child('192.168.65.3');
    const server = guest.start(['nc', '-lk', '-p', '80']);
    const forward = { proto: 'tcp', out_port: 18_080, in_ip: '192.168.65.3', in_port: 80 };
    const expose = (out_ip: string): Promise<string> =>
      ask(port, 'PUT', '/forwards/expose/port', { ...forward, out_ip });
    assert.match(await expose('0.0.0.0'), /^400 .*permission denied|^400 .*may be published at/);
    assert.equal(await expose('127.0.0.1'), '200 ');
    await lab.host.run('sh', '-c', 'echo hello | nc -N -w 5 127.0.0.1 18080');
    await until('the bytes to arrive', () => server.stdout.includes('hello'));
    assert.match(await ask(port, 'GET', '/forwards/list'), /^200 \[\{.*"out_ip":"127\.0\.0\.1"/);
  });

  it('sockets may listen already', async () => {
    const names = ['link', 'api', 'diagnostics', 'introspection', 'pcap', 'http'] as const;
    const [link, port, ...others] = names.map((name) => lab.path(`${name}.sock`));
    assert.ok(link !== undefined && port !== undefined);
    const args = [
      ...['--ethernet', 'fd:3', '--port', 'fd:4', '--diagnostics', 'fd:5'],
      ...['--introspection', 'fd:6', '--pcap', 'fd:7', '--http-api-path', 'fd:8'],
    ];
    // They accept nothing themselves: what they start does.
    const launcher = `
      const { createServer } = require('node:net');
      const servers = ${JSON.stringify([link, port, ...others])}.map((path) => createServer().listen(path));
      const fds = servers.map(({ _handle }) => _handle.fd);
      const { status } = require('node:child_process').spawnSync(
        process.execPath, ${JSON.stringify([PROGRAM, ...args])},
        { stdio: ['ignore', 'inherit', 'inherit', ...fds] });
      process.exit(status ?? 1);`;
    const vpnkit = lab.host.start([process.execPath, '-e', launcher]);
    await vpnkit.prints(/hawser is ready/);
    const client = await Vmn3tClient.at(link);
    assert.equal((await client.open(UUID)).mtu, 1_500);
    client.close();
    assert.equal(await ask(port, 'GET', '/forwards/list'), '200 null\n');
    const [diagnostics = '', introspection = '', capture = '', http = ''] = others;
    for (const path of [diagnostics, introspection]) {
      assert.equal(JSON.parse(await readAll(path)).health.status, 'ok');
    }
    const watcher = connect(capture);
    const [head] = await once(watcher, 'data');
    watcher.destroy();
    assert.equal(head.readUInt32LE(), 0xa1b2_c3d4);
    assert.match(await ask(http, 'GET', '/http_proxy.json'), /^404 None set/);
    await ask(port, 'POST', '/v1/shutdown');
    assert.equal(await vpnkit.exited, 0, vpnkit.stderr);
  });

  it('ports are published through the multiplexer to what the agent reaches', async () => {
    const [mux, port] = [lab.path('mux.sock'), lab.path('port.sock')];
    const agent = lab.outside.start([process.execPath, AGENT, '--listen', `unix:${mux}`]);
    await agent.prints(/agent ready/);
    start('--port', port, '--vsock-path', mux);
    (await connected()).close();
    const forward = { proto: 'tcp', out_ip: '127.0.0.1', out_port: 18_081, in_port: HTTP_PORT };
    assert.equal(await ask(port, 'PUT', '/forwards/expose/port', forward), '200 ');
    const url = `http://127.0.0.1:18081/bytes/${BYTES}`;
    const size = ['-sS', '--max-time', '60', '-o', '/dev/null', '-w', '%{size_download}'];
    assert.equal(await lab.host.run('curl', ...size, url), `${BYTES}`);
  });

  it('ports of the gateway that lead elsewhere: UDP, its own DNS, a file that changes', async () => {
    const file = lab.path('forwards.json');
    const forward = (protocol: string, external_port: number, internal_port: number): object => ({
      ...{ protocol, external_port, internal_ip: '127.0.0.1', internal_port },
    });
    const write = (...forwards: readonly object[]): void => {
      writeFileSync(file, JSON.stringify(forwards));
    };
    write(forward('udp', 53, 9_053));
    const udp = ['--udpv4-forwards', '7000:127.0.0.1:9053'];
    start('--host-ip', '0.0.0.0', '--gateway-forwards', file, ...udp);
    (await connected()).close();
    const guest = await child('192.168.65.3');
    lab.host.start([process.execPath, '-e', UDP_SERVER]);
    const ask = (port: number): Promise<string> =>
      guest.run('sh', '-c', `echo hello | nc -u -w 1 192.168.65.1 ${port}`);
    const answers = async (port: number): Promise<void> => {
      await until(`UDP port ${port}`, async () => (await ask(port)) === 'HELLO\n');
    };
    await answers(7_000);
    await answers(53);
    write(forward('tcp', 9_001, HTTP_PORT), forward('udp', 7_001, 9_053));
    await answers(7_001);
    await answers(7_000);
    const page = ['-sS', '-m', '10', 'http://192.168.65.1:9001/bytes/10'];
    assert.equal((await guest.run('curl', ...page)).length, 10);
    assert.equal(await dig(guest, 'gateway.internal'), '192.168.65.1'); // its own again
    writeFileSync(file, 'not JSON');
    await answers(7_001);
  });

  it('connections to networks lead through Unix sockets, by a file that changes', async () => {
    const [file, path] = [lab.path('tunnels.json'), lab.path('tunnel.sock')];
    const write = (...prefixes: readonly string[]): void => {
      const tunnels = prefixes.map((dst_prefix) => ({
        ...{ protocol: 'tcp', dst_prefix, dst_port: 0, path },
      }));
      writeFileSync(file, JSON.stringify(tunnels));
    };
    write('10.20.0.0/16');
    const argv = [process.execPath, '-e', TUNNEL_SERVER, path, `${HTTP_PORT}`];
    const server = lab.outside.start(argv);
    await server.prints(/listening/);
    start('--forwards', file);
    (await connected()).close();
    const guest = await child('192.168.65.3');
    const get = (where: string, bytes: number): Promise<string> => {
      const only = ['-sS', '--max-time', '60', '-o', '/dev/null', '-w', '%{size_download}'];
      return guest.run('curl', ...only, `http://${where}/bytes/${bytes}`);
    };
    assert.equal(await get('10.20.30.40', BYTES), `${BYTES}`);
    await assert.rejects(get('10.20.30.40:81', 1), /refused|Failed to connect/);
    assert.equal(await fetch(guest, OUTSIDE, 1_000), '1000', 'all others go as ever');
    write(`${OUTSIDE}/32`);
    await until('the file to be in force', async () =>
      get(`${OUTSIDE}:${HTTP_PORT}`, 1).then(
        () => false,
        () => true,
      ),
    );
    await server.stop();
  });

  it('/dev/null is a file without hosts, and without servers', async () => {
    start('--hosts', '/dev/null', '--dns', '/dev/null');
    (await connected()).close();
    const guest = await child('192.168.65.3');
    assert.equal(await dig(guest, 'host.internal'), '192.168.65.2');
  });

  it('names, forwards of the gateway, and the state of the network as JSON', async () => {
    const diagnostics = lab.path('diagnostics.sock');
    const names = ['--host-names', 'host.docker.internal', '--gateway-names', 'gw.docker.internal'];
    const forwards = ['--tcpv4-forwards', `9000:127.0.0.1:${HTTP_PORT}`];
    start('--diagnostics', diagnostics, ...names, ...forwards, '--hosts=');
    (await connected()).close();
    const guest = await child('192.168.65.3');
    assert.equal(await dig(guest, 'host.docker.internal'), '192.168.65.2');
    assert.equal(await dig(guest, 'gw.docker.internal'), '192.168.65.1');
    assert.equal(await fetch(guest, '192.168.65.2'), `${BYTES}`);
    const page = await guest.run('curl', '-sS', '-m', '10', 'http://192.168.65.1:9000/bytes/1000');
    assert.equal(page.length > 0, true);
    const state = JSON.parse(await readAll(diagnostics));
    assert.equal(state.info.gateway, '192.168.65.1');
    assert.equal(state.health.status, 'ok');
  });

  it('frames as they pass, as tcpdump reads them: what was before the client, and what comes', async () => {
    const capture = lab.path('pcap.sock');
    const vpnkit = start('--pcap', capture, '--pcap-snaplen', '1500');
    (await connected()).close();
    const guest = await child('192.168.65.3');
    assert.equal(await dig(guest, 'gateway.internal'), '192.168.65.1');
    const read = lab.host.start(['sh', '-c', `nc -U ${capture} | tcpdump -lnr -`]);
    await read.prints(/192\.168\.65\.3\.\d+ > 192\.168\.65\.1\.53: .*A\? gateway\.internal/);
    await read.prints(/192\.168\.65\.1\.53 > 192\.168\.65\.3\.\d+: .* A 192\.168\.65\.1/);
    assert.equal(await dig(guest, 'host.internal'), '192.168.65.2');
    await read.prints(/A\? host\.internal/);
    assert.equal(await fetch(guest, OUTSIDE), `${BYTES}`);
    await vpnkit.stop('SIGTERM');
    await read.exited;
    assert.match(read.stderr, /link-type EN10MB/);
    assert.doesNotMatch(read.stdout + read.stderr, /truncated|\[\|/);
  });
});

/** @returns the status, and the body */
function ask(socketPath: string, method: string, path: string, body?: object): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const asked = request({ socketPath, method, path, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part) => {
        text += part;
      });
      response.on('end', () => resolve(`${response.statusCode} ${text}`));
    });
    asked.on('error', reject);
    asked.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

function readAll(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(path);
    socket.on('data', (part) => {
      text += part;
    });
    socket.on('error', reject);
    socket.on('end', () => resolve(text));
  });
}
