/** What a sandboxed daemon may and may not do, tried inside of it: by its own thread, and by libuv's. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { threadStatuses } from '../../../src/native/sandbox/thread-status.ts';
import { freePrivilegedPort } from '../../support/free-port.ts';
import { describeNeeding, itNeeding } from '../../support/requirements.ts';
import { HAWSER, type Program, Workplace } from './hawser.ts';
import { inside, withInside } from './inside.ts';

const NATIVE = new URL('../../../src/native/sandbox/', import.meta.url).href;
const CAP_NET_BIND_SERVICE = 1n << 10n;

/** A system call by its number on this machine. */
const CALL = `const { getSystemErrorName } = require('node:util');
  const { errno } = require('koffi');
  const libc = require('koffi').load(null);
  const call = libc.func('long syscall(long n, long a, long b, long c, long d, long e)');
  const failed = (n, ...args) => {
    const result = call(n, ...[...args, 0, 0, 0, 0, 0].slice(0, 5));
    return result === -1 ? getSystemErrorName(-errno()) : result;
  };`;
const NUMBERS =
  process.arch === 'arm64'
    ? { execve: 221, mount: 40, ptrace: 117, bpf: 280, finitModule: 273, unshare: 97, setns: 268 }
    : { execve: 59, mount: 165, ptrace: 101, bpf: 321, finitModule: 313, unshare: 272, setns: 308 };
const IO_URING_SETUP = 425;
const CLONE_NEWUSER = 0x10000000;

describeNeeding('hawser run --sandbox strict', ['linux', 'koffi', 'landlock'], () => {
  let place: Workplace;
  let daemon: Program;

  before(async () => {
    place = new Workplace();
    mkdirSync(place.path('state'));
    const args = ['--lease-file', place.path('state/leases.json'), '-p', '0:80', '-p', '0:53/udp'];
    const env = { ...withInside(place.dir), NODE_EXTRA_CA_CERTS: '/dev/null' };
    daemon = await place.daemon(['--sandbox', 'strict', ...args], { env });
  });
  after(() => place.close());

  const does = (code: string) => inside(place.dir, code);

  it('no thread has a capability, but for ports below 1024, and none can get another', () => {
    const threads = threadStatuses(daemon.pid);
    assert.ok(threads.length > 4, 'threads of V8 and libuv');
    for (const { capabilities, noNewPrivileges, filters } of threads) {
      assert.equal(capabilities & ~CAP_NET_BIND_SERVICE, 0n);
      assert.ok(noNewPrivileges);
      assert.ok(filters >= 2);
    }
  });

  it('its second start is without certificates, which Node would parse', () => {
    const variables = readFileSync(`/proc/${daemon.pid}/environ`, 'latin1').split('\0');
    assert.ok(!variables.some((text) => text.startsWith('NODE_EXTRA_CA_CERTS=')));
    assert.ok(variables.includes(`XDG_RUNTIME_DIR=${place.dir}`));
  });

  it('threads that start later are no exception', async () => {
    await does(`const { promises } = require('node:fs');
      await Promise.all(Array.from({ length: 8 }, () => promises.readFile('/proc/self/status')));`);
    for (const { noNewPrivileges, filters } of threadStatuses(daemon.pid)) {
      assert.ok(noNewPrivileges && filters >= 2);
    }
  });

  it('status and /v1/info show what holds', () => {
    const shown = execFileSync(process.execPath, [HAWSER, 'status', '--json'], {
      env: { ...process.env, XDG_RUNTIME_DIR: place.dir },
      encoding: 'utf8',
    });
    const { sandbox } = JSON.parse(shown).info;
    assert.equal(sandbox.mode, 'strict');
    const held = sandbox.parts.filter(({ holds }: { holds: boolean }) => holds);
    assert.deepEqual(
      held.map(({ part }: { part: string }) => part),
      ['capabilities', 'no-new-privileges', 'files', 'system-calls'],
    );
  });

  const outside = (): string => `/tmp/hawser-outside-${process.pid}`;
  for (const [name, code, error] of [
    [
      'writes elsewhere',
      (path: string) => `require('node:fs').writeFileSync('${path}', '')`,
      'EACCES',
    ],
    [
      "writes elsewhere, by libuv's threads",
      (path: string) => `await require('node:fs').promises.writeFile('${path}', '')`,
      'EACCES',
    ],
    ['reads other directories', () => `require('node:fs').readdirSync('/var')`, 'EACCES'],
    [
      "reads other directories, by libuv's threads",
      () => `await require('node:fs').promises.readdir('/var')`,
      'EACCES',
    ],
    ['changes the system', () => `require('node:fs').writeFileSync('/etc/hawser', '')`, 'EACCES'],
    [
      'starts a program',
      () => `const { error } = require('node:child_process').spawnSync('/bin/true'); throw error`,
      'EPERM',
    ],
    [
      'starts a shell',
      () => `await require('node:util').promisify(require('node:child_process').exec)('true')`,
      'EPERM',
    ],
  ] as const) {
    it(`it never ${name}`, async () => {
      assert.deepEqual(await does(code(outside())), { code: error });
      assert.ok(!existsSync(outside()));
    });
  }

  for (const [name, number, args, error] of [
    ['io_uring_setup', IO_URING_SETUP, [1], 'ENOSYS'],
    ['unshare', NUMBERS.unshare, [CLONE_NEWUSER], 'EPERM'],
    ['setns', NUMBERS.setns, [0, 0], 'EPERM'],
    ['one that does not exist', 999, [], 'ENOSYS'],
  ] as const) {
    it(`system call ${name}: ${error}`, async () => {
      const outcome = await does(`${CALL} return failed(${number}, ${args.join(', ')});`);
      assert.deepEqual(outcome, { value: error });
    });
  }

  it('the event loop has no io_uring', () => {
    const dir = `/proc/${daemon.pid}/fd`;
    const open = readdirSync(dir).map((fd) => linkOf(`${dir}/${fd}`));
    assert.ok(!open.includes('anon_inode:[io_uring]'));
  });

  it('it keeps leases in their directory, and reads its own program', async () => {
    const file = place.path('state/probe');
    await does(
      `require('node:fs').writeFileSync('${file}', ''); require('node:fs').rmSync('${file}')`,
    );
    assert.deepEqual(readdirSync(place.path('state')), []);
    const read = `return require('node:fs').readFileSync('${HAWSER}').length > 0`;
    assert.deepEqual(await does(read), { value: true });
  });
});

describeNeeding('what ends a sandboxed daemon', ['linux', 'koffi', 'landlock'], () => {
  let place: Workplace;
  beforeEach(() => {
    place = new Workplace();
  });
  afterEach(() => place.close());

  for (const name of ['execve', 'mount', 'ptrace', 'bpf', 'finitModule'] as const) {
    it(name, async () => {
      const daemon = await place.daemon([], { env: withInside(place.dir) });
      const outcome = await inside(place.dir, `${CALL} return failed(${NUMBERS[name]});`);
      assert.equal(outcome, undefined);
      assert.equal((await daemon.ended).signal, 'SIGSYS');
    });
  }
});

describeNeeding('a sandboxed daemon', ['linux', 'koffi', 'landlock'], () => {
  let place: Workplace;
  beforeEach(() => {
    place = new Workplace();
  });
  afterEach(() => place.close());

  it('removes what it made, directories too', async () => {
    const daemon = await place.daemon(['--sandbox', 'strict', '-l', `qemu:${place.path('a/b/q')}`]);
    assert.ok(existsSync(place.path('a/b/q')));
    daemon.child.kill('SIGTERM');
    assert.equal((await daemon.ended).status, 0);
    assert.deepEqual(readdirSync(place.dir), []);
  });

  it('has a configuration that is larger than a pipe', async () => {
    const config = place.path('hawser.yaml');
    const leases = Array.from({ length: 5_000 }, (_, i) => {
      const [high, low] = [i >> 8, i & 0xff].map((byte) => byte.toString(16).padStart(2, '0'));
      return `  - 02:00:00:00:${high}:${low}=10.77.${1 + (i >> 8)}.${i & 0xff}\n`;
    });
    writeFileSync(config, `subnet: 10.77.0.0/16\nstaticLease:\n${leases.join('')}`);
    await place.daemon(['--sandbox', 'strict', '--config', config]);
    const status = place.hawser(['status']);
    assert.equal((await status.ended).status, 0);
    assert.match(status.stdout, /10\.77\.0\.0\/16/);
  });

  it('is the process that was started', async () => {
    const daemon = await place.daemon(['--sandbox', 'strict', '--pid-file', place.path('pid')]);
    assert.match(daemon.stderr, new RegExp(`"pid":${daemon.pid},`));
  });

  it('follows a hosts file that is replaced, through a link as well', async () => {
    mkdirSync(place.path('real'));
    mkdirSync(place.path('named'));
    writeFileSync(place.path('real/hosts'), '10.0.0.1 box\n');
    symlinkSync('../real/hosts', place.path('named/hosts'));
    const daemon = await place.daemon(
      ['--sandbox', 'strict', '--hosts', place.path('named/hosts'), '--log-level', 'debug'],
      { env: withInside(place.dir) },
    );
    execFileSync('sh', ['-c', 'echo 10.0.0.2 box >new && mv new real/hosts'], { cwd: place.dir });
    const read = `return require('node:fs').readFileSync('${place.path('named/hosts')}', 'utf8')`;
    assert.deepEqual(await inside(place.dir, read), { value: '10.0.0.2 box\n' });
    daemon.child.kill('SIGHUP');
    await daemon.says(/log, hosts and zones are read again/);
  });

  it('reads its configuration again, and rotates its log', async () => {
    const config = place.path('hawser.yaml');
    const log = place.path('log');
    writeFileSync(config, `sandbox: strict\nlogFile: ${log}\n`);
    const daemon = place.hawser(['run', '--config', config, '--ready-fd', '3']);
    await new Promise((resolve) => daemon.child.stdio[3]?.once('data', resolve));
    execFileSync('sh', ['-c', 'mv log log.1; mv hawser.yaml old; cp old hawser.yaml'], {
      cwd: place.dir,
    });
    daemon.child.kill('SIGHUP');
    while (!existsSync(log)) await new Promise((resolve) => setTimeout(resolve, 10));
    daemon.child.kill('SIGTERM');
    assert.equal((await daemon.ended).status, 0);
  });

  it('publishes sockets made later where --sandbox-allow says, and says so elsewhere', async () => {
    mkdirSync(place.path('later'));
    mkdirSync(place.path('never'));
    await place.daemon(['--sandbox', 'strict', '--sandbox-allow', place.path('later')]);
    const expose = (dir: string) =>
      place.hawser(['expose', `unix:${place.path(dir)}/s:192.168.127.2:80`]);
    assert.equal((await expose('later').ended).status, 0);
    const refused = expose('never');
    assert.equal((await refused.ended).status, 1);
    assert.match(refused.stderr, /not permitted; .*--sandbox-allow/);
  });

  it('without Landlock or koffi: on goes on and says what is missing, strict ends', async () => {
    const env = { NODE_OPTIONS: `--require=${place.path('without.cjs')}` };
    writeFileSync(
      place.path('without.cjs'),
      `const Module = require('node:module'); const load = Module._load;
       Module._load = (name, ...rest) => { if (name === 'koffi') throw new Error('none'); return load(name, ...rest); };`,
    );
    const strict = place.hawser(['run', '--sandbox', 'strict'], { env });
    assert.equal((await strict.ended).status, 1);
    assert.match(strict.stderr, /^hawser: --sandbox strict: .*koffi is not installed/);
    await place.daemon([], { env });
    const status = place.hawser(['status']);
    await status.ended;
    assert.match(status.stdout, /sandbox +on, without system-calls: .*koffi/);
  });

  itNeeding('--user becomes that user, whose sockets they are', ['root'], async () => {
    execFileSync('chmod', ['755', place.dir]);
    const path = place.path('made/q');
    const daemon = await place.daemon([
      ...['--sandbox', 'strict', '--user', 'nobody', '-l', `qemu:${path}`],
      ...[
        '--api',
        `unix:${place.path('made/api')}`,
        '-p',
        `127.0.0.1:${await freePrivilegedPort()}:80`,
      ],
    ]);
    const ids = readFileSync(`/proc/${daemon.pid}/status`, 'utf8');
    const uid = Number(execFileSync('id', ['-u', 'nobody'], { encoding: 'utf8' }));
    assert.match(ids, new RegExp(`Uid:\t${uid}\t${uid}\t${uid}\t${uid}`));
    assert.match(ids, /CapEff:\t0000000000000400/);
    const owner = execFileSync('stat', ['-c', '%u', path], { encoding: 'utf8' });
    assert.equal(Number(owner), uid);
  });

  it('a launcher that has done the first part is taken at its word', async () => {
    const launcher = place.path('launcher.mjs');
    writeFileSync(
      launcher,
      `const [{ Kernel }, seccomp, { dropCapabilities }, { START_POLICY }, { keepOpen, restart }] =
        await Promise.all(['kernel', 'seccomp', 'capabilities', 'syscall-policy', 'restart'].map(
          (name) => import(${JSON.stringify(NATIVE)} + name + '.js')));
      const kernel = new Kernel();
      dropCapabilities(kernel);
      seccomp.forbidNewPrivileges(kernel);
      seccomp.filterSystemCalls(kernel, START_POLICY, 'this');
      for (const fd of [0, 1, 2]) keepOpen(kernel, fd);
      process.argv.splice(1, 1, ${JSON.stringify(HAWSER)});
      throw restart(kernel, { ...process.env, HAWSER_SANDBOX_INHERITED: '1' });`,
    );
    const run = ['run', '--sandbox', 'strict', '--log-format', 'json'];
    const daemon = place.start(process.execPath, [launcher, ...run]);
    await daemon.says(/hawser is ready/);
    const environment = readFileSync(`/proc/${daemon.pid}/environ`, 'latin1');
    assert.match(environment, /HAWSER_SANDBOX_INHERITED=1/, 'the start of the launcher');
    assert.doesNotMatch(environment, /HAWSER_SECOND_START/);
    for (const { capabilities, noNewPrivileges, filters } of threadStatuses(daemon.pid)) {
      assert.equal(capabilities & ~CAP_NET_BIND_SERVICE, 0n);
      assert.ok(noNewPrivileges);
      assert.equal(filters, 2);
    }
  });

  it('a launcher that claims to have done it, and has not, changes nothing', async () => {
    const daemon = await place.daemon([], { env: { HAWSER_SANDBOX_INHERITED: '1' } });
    for (const { noNewPrivileges, filters } of threadStatuses(daemon.pid)) {
      assert.ok(noNewPrivileges);
      assert.equal(filters, 2);
    }
  });

  it('a user that does not exist is bad usage', async () => {
    const daemon = place.hawser(['run', '--user', 'nobody-of-that-name']);
    assert.equal((await daemon.ended).status, 2);
    assert.match(daemon.stderr, /--user nobody-of-that-name: must be a user of this system/);
  });

  it('the variable of the second start is for itself alone', async () => {
    const daemon = place.hawser(['run'], { env: { HAWSER_SECOND_START: '0' } });
    assert.equal((await daemon.ended).status, 2);
    assert.match(daemon.stderr, /HAWSER_SECOND_START=0: .* unset it/);
  });
});

/** Of a descriptor that may have been closed in the meantime. */
function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
