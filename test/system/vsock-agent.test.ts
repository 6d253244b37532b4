/** An agent in a virtual machine: one file and Node, and a multiplexer that goes over the VM's vsock. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { get } from 'node:http';
import { connect, type NetConnectOpts } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { withLibraries } from '../../src/lab/vm/program-files.ts';
import { leaseStep, type VmStep } from '../../src/lab/vm/vm-steps.ts';
import { systemSuite } from '../support/requirements.ts';
import { Daemon } from './support/daemon.ts';
import { until } from './support/until.ts';
import { VsockVm } from './support/vsock-vm.ts';

const BOOT_TIMEOUT_MS = 30_000;
const MUX_PORT = 4099;
const MIB = 1 << 20;
const FILE_MIB = 8;
const HTTP = 80;
const SUM = 9001;
const NOBODY = 9002;
/** A connection here ends the agent. */
const LEAVE = 9003;
const GUEST_SOCKET = '/tmp/echo.sock';
const BUNDLE = resolve('dist/hawser-agent.mjs');
const NODE = process.execPath;

/** As seen by the guest: its web server, a port that sums what it is sent, and a Unix socket. */
const SERVERS = `mkdir -p /www
dd if=/dev/urandom of=/www/file bs=65536 count=${FILE_MIB * 16} 2>/dev/null
printf '#!/bin/sh\\nsha256sum | cut -c1-64\\n' >/bin/sum-of-input
chmod +x /bin/sum-of-input
httpd -p ${HTTP} -h /www
nc -ll -p ${SUM} -e /bin/sum-of-input >/dev/null 2>&1 &
${NODE} -e '
  const options = { allowHalfOpen: true };
  require("net").createServer(options, (s) => s.pipe(s)).listen("${GUEST_SOCKET}");
' >/dev/null 2>&1 &
echo "sha256=$(sha256sum /www/file | cut -c1-64)"
`;
/** Ends on request, with the agent's exit status. */
const agentStep = (name: string, link: string): VmStep => ({
  name,
  script: `${NODE} ${BUNDLE} ${link} >/dev/console 2>&1 &
nc -l -p ${LEAVE} >/dev/null
kill $!
wait $!
`,
});

const Mux = z.object({
  links: z.array(
    z.object({ peers: z.array(z.object({ id: z.number(), state: z.string(), role: z.string() })) }),
  ),
});
const Ports = z.object({
  ports: z.array(
    z.object({
      via: z.string(),
      guestPort: z.number().nullable(),
      hostPort: z.number().nullable(),
    }),
  ),
});

/** The native package that makes the guest's vsock sockets, as it lies beside the bundle. */
function koffi(): readonly string[] {
  return ['node_modules/koffi', 'node_modules/@koromix/koffi-linux-x64'].flatMap((dir) =>
    readdirSync(dir, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => resolve(parentPath, name)),
  );
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

async function readAll(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Send, half-close, and read to the end. */
async function exchange(to: NetConnectOpts, sent: Uint8Array): Promise<Buffer> {
  const socket = connect({ ...to, allowHalfOpen: true });
  socket.end(sent);
  return await readAll(socket);
}

const fetch = (port: number): Promise<Buffer> =>
  new Promise((done, failed) => {
    const request = get({ port, path: '/file', agent: false }, (response) => {
      readAll(response).then(done, failed);
    });
    request.once('error', failed);
  });

systemSuite('agent in a virtual machine, over vsock', ['vm', 'koffi'], function () {
  this.timeout(90_000);
  let dir = '';
  let daemon: Daemon;
  let vm: VsockVm;
  let fileSum = '';
  const bytes = randomBytes(4 * MIB);

  const step = async (name: string): Promise<Readonly<Record<string, string>>> => {
    const result = await until(`step ${name}`, () => vm.result(name), BOOT_TIMEOUT_MS);
    assert.ok(result.ok, `${name}: ${JSON.stringify(result)}\n${vm.console.slice(-8).join('\n')}`);
    return result.words;
  };
  const peers = async () => Mux.parse(JSON.parse(await daemon.request('/v1/mux'))).links[0]?.peers;
  /** Told with the last of what the VM says. */
  const agentIsUp = async (role: string): Promise<void> => {
    const isUp = async (): Promise<boolean> => {
      if ((await peers())?.some((p) => p.state === 'ready' && p.role === role)) return true;
      throw new Error(vm.console.slice(-8).join('\n'));
    };
    await until(`an agent that is ${role}`, isUp, BOOT_TIMEOUT_MS);
  };
  const portOf = async (via: string, guestPort: number): Promise<number> => {
    const { ports } = Ports.parse(JSON.parse(await daemon.request('/v1/ports')));
    const hostPort = ports.find((p) => p.via === via && p.guestPort === guestPort)?.hostPort;
    assert.ok(typeof hostPort === 'number');
    return hostPort;
  };
  const hostSocket = (): string => join(dir, 'echo.sock');

  before(async () => {
    execFileSync('npm', ['run', '--silent', 'build:agent'], { stdio: 'pipe' });
    dir = mkdtempSync(join(tmpdir(), 'hawser-vsock-agent-'));
    const [link, vsock] = [join(dir, 'qemu.sock'), join(dir, 'vsock.sock')];
    const args = [
      ...['--listen', `qemu:${link}`, '--mux', `vhost-vsock:${vsock}:${MUX_PORT}`],
      ...['-p', `0:127.0.0.1:${HTTP}`, '-p', `0:127.0.0.1:${SUM}`, '-p', `0:127.0.0.1:${NOBODY}`],
      ...['-p', `unix:${hostSocket()}:${GUEST_SOCKET}`, '-p', `0:${HTTP}`, '-p', `0:${LEAVE}`],
    ];
    daemon = new Daemon(Daemon.command(args), { XDG_RUNTIME_DIR: dir }, join(dir, 'hawser'));
    await daemon.ready();
    vm = new VsockVm(
      dir,
      vsock,
      [
        leaseStep(),
        { name: 'servers', script: SERVERS },
        agentStep('listening', `--listen vsock:${MUX_PORT}`),
        agentStep('connecting', `--connect vsock:2:${MUX_PORT}`),
      ],
      { memoryMiB: 640, files: [...withLibraries([NODE]), BUNDLE, ...koffi()], link },
    );
    fileSum = (await step('servers'))['sha256'] ?? '';
    await agentIsUp('connector');
  });
  after(async () => {
    await vm?.kill();
    await daemon?.stop();
    rmSync(dir, { recursive: true, force: true });
  });
  afterEach(() => assert.ok(daemon.isRunning, daemon.stderr));

  it(`a server on the guest's loopback answers on the host: ${FILE_MIB} MiB`, async () => {
    const file = await fetch(await portOf('mux', HTTP));
    assert.equal(file.length, FILE_MIB * MIB);
    assert.equal(sha256(file), fileSum);
  });

  it('is sent 4 MiB, and the end of them', async () => {
    const answer = await exchange({ port: await portOf('mux', SUM), host: '127.0.0.1' }, bytes);
    assert.equal(answer.toString().trim(), sha256(bytes));
  });

  it('a Unix socket of the guest is one of the host: 4 MiB there and back', async () => {
    const answer = await exchange({ path: hostSocket() }, bytes);
    assert.equal(sha256(answer), sha256(bytes));
  });

  it('a port where nobody listens resets its client', async () => {
    const asked = exchange({ port: await portOf('mux', NOBODY), host: '127.0.0.1' }, bytes);
    await assert.rejects(asked, { code: 'ECONNRESET' });
  });

  it("the guest's network carries the same at the same time", async () => {
    const files = await Promise.all([
      fetch(await portOf('mux', HTTP)),
      fetch(await portOf('net', HTTP)),
    ]);
    assert.deepEqual(files.map(sha256), [fileSum, fileSum]);
  });

  it('the agent leaves in order, and another connects to the host', async () => {
    await exchange({ port: await portOf('net', LEAVE), host: '127.0.0.1' }, Buffer.of(0));
    await step('listening');
    await agentIsUp('listener');
    const [answer, file] = await Promise.all([
      exchange({ path: hostSocket() }, bytes),
      fetch(await portOf('mux', HTTP)),
    ]);
    assert.deepEqual([sha256(answer), sha256(file)], [sha256(bytes), fileSum]);
  });
});
