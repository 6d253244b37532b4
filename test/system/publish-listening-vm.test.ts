/** `hawser agent --publish-listening` in a virtual machine: real servers there, and clients on the host. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { z } from 'zod';
import { withLibraries } from '../../src/lab/vm/program-files.ts';
import { systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { Lab } from './support/lab.ts';
import { published } from './support/published.ts';
import { until } from './support/until.ts';
import { VsockVm } from './support/vsock-vm.ts';

const MUX_PORT = 4099;
const BUNDLE = resolve('dist/hawser-agent.mjs');
const NODE = process.execPath;
const CONTROL = 9003;
/** Emulated, beside other tests. */
const PATIENCE_MS = 90_000;
/** A server of Go, of IPv6 alone, which /proc does not say: this one ships with Docker. */
const GO = '/usr/sbin/docker-proxy';
const Ports = z.object({ ports: z.array(z.object({ id: z.string() })) });

/**
 * Servers that say which they are, and one that is told what to do: `/many`, `/few`, `/ghosts`, which answers when all have
 * come and gone, and `/stop`.
 */
const SERVERS = `
const { createServer } = require('node:http');
const net = require('node:net');
const name = (text) => createServer((q, r) => r.end(text + '\\n'));
name('every address').listen(8102, '::');
name('resolver').listen(8103, '127.0.0.53');
name('as java').listen(8104, '::ffff:127.0.0.1');
const last = name('last').listen(8107, '127.0.0.1');
let many = [];
const ghost = (port, left, done) => {
  const server = net.createServer().listen(port, '127.0.0.1', () => setTimeout(() => server.close(() => {
    if (left > 0) setTimeout(ghost, 20, port + 1, left - 1, done); else done();
  }), 15));
};
createServer((request, response) => {
  if (request.url === '/many') {
    many = Array.from({ length: 1000 }, (_, i) => net.createServer().listen(20000 + i, '127.0.0.1'));
  }
  if (request.url === '/few') for (const one of many.splice(0)) one.close();
  if (request.url === '/stop') last.close();
  if (request.url === '/ghosts') ghost(8200, 30, () => response.end('over\\n')); else response.end('done\\n');
}).listen(${CONTROL}, '127.0.0.1');
`;

const script = (diagnosis: boolean): string => `ip link set lo up
${diagnosis ? 'insmod /modules/inet_diag.ko; insmod /modules/tcp_diag.ko' : ''}
mkdir -p /www
echo 'another namespace' >/www/index.html
printf '#!/bin/sh\\necho from nc\\n' >/bin/from-nc
chmod +x /bin/from-nc
nc -ll -p 8101 -e /bin/from-nc >/dev/null 2>&1 &
${NODE} -e '${SERVERS.replaceAll("'", '"')}' >/dev/console 2>&1 &
${GO} -proto tcp -host-ip :: -host-port 8105 -container-ip 127.0.0.1 -container-port 8102 3>/dev/null >/dev/console 2>&1 &
unshare -n sh -c 'ip link set lo up; exec httpd -f -p 127.0.0.1:8106 -h /www' &
${NODE} ${BUNDLE} --listen vsock:${MUX_PORT} --publish-listening '*,*@*' >/dev/console 2>&1 &
`;

/** The native package that makes the guest's vsock sockets, as it lies beside the bundle. */
function koffi(): readonly string[] {
  return ['node_modules/koffi', 'node_modules/@koromix/koffi-linux-x64'].flatMap((dir) =>
    readdirSync(dir, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => resolve(parentPath, name)),
  );
}

const listening = (diagnosis: boolean): readonly string[] => [
  '127.0.0.1 8101/tcp',
  '127.0.0.1 8102/tcp',
  '127.0.0.1 8104/tcp',
  ...(diagnosis ? [] : ['127.0.0.1 8105/tcp']),
  '127.0.0.1 8106/tcp',
  '127.0.0.1 8107/tcp',
  `127.0.0.1 ${CONTROL}/tcp`,
  '127.0.0.53 8103/tcp',
  '::1 8101/tcp',
  '::1 8102/tcp',
  '::1 8105/tcp',
];

const REQUIRED = ['netns', 'root', 'vm', 'koffi', 'docker', 'curl', 'nc'] as const;

for (const diagnosis of [true, false]) {
  const LISTENING = listening(diagnosis);
  const how = diagnosis ? 'with tcp_diag' : 'a kernel without tcp_diag';
  systemSuite(`agent --publish-listening in a virtual machine, ${how}`, REQUIRED, function () {
    this.timeout(180_000);
    let lab: Lab;
    let daemon: Daemon;
    let vm: VsockVm;

    before(async () => {
      lab = await Lab.open();
      const [link, vsock] = [lab.path('qemu.sock'), lab.path('vsock.sock')];
      const mux = ['--mux', `vhost-vsock:${vsock}:${MUX_PORT}`];
      daemon = await lab.startDaemon([
        ...['--listen', `qemu:${link}`, '--guest-api', 'on'],
        ...mux,
      ]);
      const modules = diagnosis ? ['inet_diag', 'tcp_diag'] : [];
      const files = [...withLibraries([NODE, GO]), BUNDLE, ...koffi()];
      const steps = [{ name: 'servers', script: script(diagnosis) }];
      vm = new VsockVm(lab.dir, vsock, steps, { memoryMiB: 768, files, link, modules });
    });
    after(async () => {
      await vm?.kill();
      await lab.close();
    });
    afterEach(() => assert.ok(daemon.isRunning, daemon.stderr));

    const becomes = async (expected: readonly string[]): Promise<void> => {
      let last: readonly string[] = [];
      const isThere = async (): Promise<boolean> => {
        last = await published(daemon, 'mux');
        if (last.join() === expected.join()) return true;
        throw new Error(`${last.slice(0, 20).join(', ')}\n${vm.console.slice(-8).join('\n')}`);
      };
      await until(`ports ${expected.join(', ')}`, isThere, PATIENCE_MS);
    };
    const get = (host: string, port: number, path = ''): Promise<string> =>
      lab.host.run('curl', '-sS', '-m', '60', `http://${host}:${port}/${path}`);

    it('Node, Go, nc, as Java does, 127.0.0.53, and one in another namespace', async () => {
      await becomes(LISTENING);
      assert.match(await lab.host.run('nc', '-d', '127.0.0.1', '8101'), /from nc/);
      assert.equal(await get('127.0.0.1', 8102), 'every address\n');
      assert.equal(await get('[::1]', 8102), 'every address\n');
      assert.equal(await get('127.0.0.53', 8103), 'resolver\n');
      assert.equal(await get('127.0.0.1', 8104), 'as java\n');
      if (!diagnosis) assert.equal(await get('127.0.0.1', 8105), 'every address\n');
      assert.equal(await get('[::1]', 8105), 'every address\n');
      assert.equal(await get('127.0.0.1', 8106), 'another namespace\n');
    });

    it('short-lived ones never appear', async () => {
      const ids = async (): Promise<string[]> =>
        Ports.parse(JSON.parse(await daemon.request('/v1/ports'))).ports.map(({ id }) => id);
      const before = await ids();
      assert.equal(await get('127.0.0.1', CONTROL, 'ghosts'), 'over\n');
      await get('127.0.0.1', CONTROL, 'many');
      await until('more ports', async () => (await ids()).length > before.length, PATIENCE_MS);
      const added = (await ids()).map(Number).filter((id) => !before.includes(`${id}`));
      assert.equal(Math.min(...added), Math.max(...before.map(Number)) + 1);
    });

    it('a thousand at once, which all go', async () => {
      const isThere = async (): Promise<boolean> =>
        (await published(daemon, 'mux')).length === LISTENING.length + 1_000;
      await until('a thousand ports', isThere, PATIENCE_MS);
      await get('127.0.0.1', CONTROL, 'few');
      await becomes(LISTENING);
    });

    it('one that ends goes', async () => {
      await get('127.0.0.1', CONTROL, 'stop');
      await becomes(LISTENING.filter((one) => one !== '127.0.0.1 8107/tcp'));
    });
  });
}
