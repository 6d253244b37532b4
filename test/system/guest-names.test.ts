/** Ports and multiplexer links of a guest that is named, where it is not the first: each of two kernels says who it is. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { type Guest, Lab } from './support/lab.ts';
import { until } from './support/until.ts';

const AGENT = fileURLToPath(new URL('../../hawser-agent.mjs', import.meta.url));
const MAC = '02:00:00:00:00:42';
const SERVED = 9000;
const ON_LOOPBACK = 9001;
const AGENT_PORT = 4099;
const BY_NET = 18_001;
const BY_MUX = 18_002;

/** The ways to name the second guest, with what the daemon must know for it. */
const NAMES: readonly (readonly [string, string, readonly string[]])[] = [
  ['the host name of its DHCP request', 'web', []],
  ['the name of its static lease', 'fixed', ['--static-lease', `${MAC}=192.168.127.77,fixed`]],
  ['its Ethernet address', MAC, []],
];

const SERVER = `const [name, ...places] = process.argv.slice(1);
let left = places.length * 2;
const ready = () => { if (--left === 0) console.log('serving'); };
for (const place of places) {
  const [address, port] = place.split('/');
  require('net').createServer((s) => { s.on('error', () => {}); s.end(name); }).listen(port, address, ready);
  const socket = require('dgram').createSocket('udp4');
  socket.on('message', (text, from) => socket.send(name + ' ' + text, from.port, from.address));
  socket.bind(port, address, ready);
}`;
const ASK_TCP = `const s = require('net').connect(process.argv[1], '127.0.0.1');
s.on('data', (d) => process.stdout.write(d)).on('error', (e) => process.stdout.write(e.code));`;
/** Again while nothing comes: the first datagram may open the way. */
const ASK_UDP = `const s = require('dgram').createSocket('udp4');
const ask = () => s.send('hello', process.argv[1], '127.0.0.1');
const again = setInterval(ask, 200);
const end = setTimeout(() => { clearInterval(again); s.close(); process.stdout.write('no answer'); }, 5000);
s.once('message', (d) => { process.stdout.write(d); clearInterval(again); clearTimeout(end); s.close(); });
ask();`;

systemSuite('guests by name', [...LAB, 'dhclient'], function () {
  this.timeout(60_000);
  let lab: Lab;
  beforeEach(async () => {
    lab = await Lab.open();
  });
  afterEach(() => lab.close());

  /** A lease under a host name. */
  async function leaseAs(guest: Guest, hostname: string): Promise<void> {
    const [config, leases] = [lab.path(`${hostname}.conf`), lab.path(`${hostname}.leases`)];
    writeFileSync(config, `send host-name "${hostname}";\n`);
    writeFileSync(leases, '');
    const files = ['-cf', config, '-lf', leases, '-pf', lab.path(`${hostname}.pid`)];
    guest.start(['dhclient', '-4', '-d', '-sf', '/bin/true', ...files, 'eth0']);
    const address = await until(
      'a lease',
      () => /fixed-address ([\d.]+);[\s\S]*\}/.exec(readFileSync(leases, 'latin1'))?.[1],
    );
    await guest.run('ip', 'addr', 'add', `${address}/24`, 'dev', 'eth0');
    await guest.run('ip', 'route', 'add', 'default', 'via', '192.168.127.1');
  }

  async function serve(guest: Guest, name: string): Promise<void> {
    const places = [`0.0.0.0/${SERVED}`, `127.0.0.1/${ON_LOOPBACK}`];
    await guest.start([process.execPath, '-e', SERVER, '--', name, ...places]).prints(/serving/);
    const agent = ['--listen', `tcp:0.0.0.0:${AGENT_PORT}`];
    await guest.start([process.execPath, AGENT, ...agent]).prints(/agent ready/);
  }

  const ask = (script: string, port: number): Promise<string> =>
    lab.host.run(process.execPath, '-e', script, '--', String(port));

  const muxIsUp = async (daemon: Daemon): Promise<boolean> =>
    /"state":"ready"/.test(await daemon.request('/v1/mux'));

  for (const [how, name, args] of NAMES) {
    it(`the second guest by ${how}: TCP and UDP, through the network and through its agent`, async () => {
      const [one, two] = [await lab.addGuest(), await lab.addGuest()];
      const daemon = await lab.startDaemon([
        ...['--listen', one.link, '--listen', two.link, ...args],
        ...['-p', `${BY_NET}:${name}:${SERVED}`, '-p', `${BY_NET}:${name}:${SERVED}/udp`],
        ...['-p', `${BY_MUX}:127.0.0.1:${ON_LOOPBACK}`],
        ...['-p', `${BY_MUX}:127.0.0.1:${ON_LOOPBACK}/udp`],
        ...['--mux', `guest:${name}:${AGENT_PORT}`],
      ]);
      await one.lease();
      await serve(one, 'one');

      await two.run('ip', 'link', 'set', 'dev', 'eth0', 'address', MAC);
      await leaseAs(two, 'web');
      await serve(two, 'two');
      assert.equal(await ask(ASK_TCP, BY_NET), 'two');
      assert.equal(await ask(ASK_UDP, BY_NET), 'two hello');
      await until('the multiplexer', () => muxIsUp(daemon));
      assert.equal(await ask(ASK_TCP, BY_MUX), 'two');
      assert.equal(await ask(ASK_UDP, BY_MUX), 'two hello');
    });
  }
});
