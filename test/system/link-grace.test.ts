/** A guest whose link goes: what it had, what it is asked for anew, and its return, with real kernels. */
import assert from 'node:assert/strict';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { type Guest, HOST, Lab } from './support/lab.ts';
import type { Background } from './support/processes.ts';
import { until } from './support/until.ts';

const PUBLISHED = 18_200;
const SERVED = 7200;
const ON_HOST = 7201;
const ECHO = `require('net').createServer((s) => s.on('error', () => {}).pipe(s)).listen(${SERVED}, () => console.log('serving'))`;
/** Says once a moment that the connection carries bytes, and how it ended. */
const TALKER = `
const s = require('net').connect(${PUBLISHED}, '127.0.0.1');
let n = 0;
setInterval(() => s.write('x'), 50).unref();
s.on('data', () => console.log('echo', ++n, '.'));
s.on('error', (e) => console.log('ended', e.code));
s.on('close', () => process.exit());`;

/** Stands for a VMM that loses its connection, while its guest runs on. */
const relay = (from: string, to: string): string => `
const { connect, createServer } = require('net');
require('fs').rmSync('${from}', { force: true });
createServer((a) => {
  const b = connect('${to}');
  for (const [one, other] of [[a, b], [b, a]]) {
    one.pipe(other);
    one.on('error', () => {});
    one.on('close', () => other.destroy());
  }
}).listen('${from}', () => console.log('relaying'));`;
/** Accepted by the host's kernel, and reset. */
const REFUSED = /reset by peer|Recv failure|after \d+ ms: Couldn't connect/;

systemSuite('a guest whose link goes', [...LAB, 'gcc', 'nc', 'curl'], function () {
  this.timeout(60_000);
  let lab: Lab;
  let guest: Guest;
  let daemon: Daemon;
  let link: Background;

  const start = async (grace: number): Promise<void> => {
    const socket = lab.path('qemu.sock');
    daemon = await lab.startDaemon([
      ...['--listen', `qemu:${socket}`, '--link-grace', String(grace)],
      ...['-p', `${PUBLISHED}:${SERVED}`, '-p', `${PUBLISHED}:${SERVED}/udp`],
    ]);
    link = await startLink();
    guest = await lab.addGuest({ bridgeTo: lab.path('relay.sock') });
    await guest.plug();
    await guest.lease();
    await guest.try('curl', '-s', '-m', '5', `http://${HOST}:1/`); // it is heard
    await guest.start([process.execPath, '-e', ECHO]).prints(/serving/);
  };
  const startLink = async (): Promise<Background> => {
    const script = relay(lab.path('relay.sock'), lab.path('qemu.sock'));
    const started = lab.host.start([process.execPath, '-e', script]);
    await started.prints(/relaying/);
    return started;
  };
  const breakLink = async (): Promise<void> => {
    await link.stop('SIGKILL');
    await until('the link to be gone', async () =>
      (await daemon.request('/v1/ports')).includes('"attached":false'),
    );
  };
  /** Idle connections both ways, and a datagram. */
  const open = async (): Promise<Background> => {
    lab.host.start(['nc', '-dlk', String(ON_HOST)]);
    lab.host.start(['nc', '-dulk', String(ON_HOST)]);
    const bound = new RegExp(`(tcp|udp).*:${ON_HOST} `, 'g');
    await until(
      'the servers',
      async () => [...(await lab.host.run('ss', '-Hltun')).matchAll(bound)].length === 2,
    );
    guest.start(['nc', '-d', HOST, String(ON_HOST)]);
    const client = lab.host.start(['nc', '-d', '127.0.0.1', String(PUBLISHED)]);
    // A here-document is there when nc starts, which waits for nothing.
    await guest.run('sh', '-c', `nc -u -w 0 ${HOST} ${ON_HOST} <<.\nx\n.`);
    const kinds = async (): Promise<string> =>
      (await daemon.flows())
        .map(({ protocol }) => protocol)
        .sort()
        .join(' ');
    await until('three flows', async () => (await kinds()) === 'tcp tcp udp');
    return client;
  };

  beforeEach(async () => {
    lab = await Lab.open();
  });
  afterEach(() => lab.close());

  it('is refused at once to new clients, and after the grace every flow of it ends, idle ones too', async () => {
    await start(3);
    const client = await open();
    const wentAt = performance.now();
    await breakLink();
    const asked = performance.now();
    const { stderr } = await lab.host.try('curl', '-sS', `http://127.0.0.1:${PUBLISHED}/`);
    assert.match(stderr, REFUSED);
    assert.ok(performance.now() - asked < 1000, 'at once');
    assert.equal((await daemon.flows()).length, 3);
    await until('every flow to end', async () => (await daemon.flows()).length === 0);
    const after = performance.now() - wentAt;
    assert.ok(after > 2500 && after < 6000, `after ${after} ms`);
    await client.exited;
  });

  it('goes on with its connections when it is back within the grace', async () => {
    await start(60);
    const talker = lab.host.start([process.execPath, '-e', TALKER]);
    await talker.prints(/echo 5 /);
    await breakLink();
    await startLink();
    const said = talker.stdout;
    await until('the connection to carry bytes again', () =>
      Promise.resolve(talker.stdout.length > said.length),
    );
    assert.doesNotMatch(talker.stdout, /ended/);
  });

  it('is not followed by another: a port for the first guest stays with it', async () => {
    await start(1);
    const socket = lab.path('qemu.sock');
    const other = await lab.addGuest({ bridgeTo: socket });
    await other.plug();
    await other.lease();
    await other.try('curl', '-s', '-m', '5', `http://${HOST}:1/`); // it is heard
    await other.start([process.execPath, '-e', ECHO]).prints(/serving/);
    await breakLink();
    const { stderr } = await lab.host.try('curl', '-sS', `http://127.0.0.1:${PUBLISHED}/`);
    assert.match(stderr, REFUSED);
    const ports = JSON.parse(await daemon.request('/v1/ports')).ports;
    assert.equal(ports[0].guestNow.address, '192.168.127.2');
  });
});
