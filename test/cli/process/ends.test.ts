import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { itNeeding } from '../../support/requirements.ts';
import { HAWSER, Workplace } from './hawser.ts';

describe('hawser run as a process', () => {
  let place: Workplace;
  beforeEach(() => {
    place = new Workplace();
  });
  afterEach(() => place.close());

  for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGUSR2'] as const) {
    it(`${signal} ends it in order: status 0, no socket and no directory left`, async () => {
      const daemon = await place.daemon();
      assert.ok(existsSync(place.path('hawser/default/qemu.sock')));
      daemon.child.kill(signal);
      assert.deepEqual(await daemon.ended, { status: 0, signal: null });
      assert.deepEqual(readdirSync(place.dir), []);
    });
  }

  itNeeding('SIGTERM between its two starts does so too', ['koffi'], async () => {
    const early = new URL('../../support/end-in-first-start.js', import.meta.url).href;
    const daemon = place.hawser(['run'], { env: { NODE_OPTIONS: `--import=${early}` } });
    const end = await Promise.race([daemon.ended, daemon.says(/hawser is ready/)]);
    daemon.child.kill('SIGKILL');
    assert.deepEqual(end, { status: 0, signal: null });
    assert.deepEqual(readdirSync(place.dir), []);
  });

  itNeeding('SIGTERM right before the second start is not lost', ['koffi'], async () => {
    const late = new URL('../../support/end-before-second-start.js', import.meta.url).href;
    const daemon = place.hawser(['run'], { env: { NODE_OPTIONS: `--import=${late}` } });
    const end = await Promise.race([daemon.ended, daemon.says(/hawser is ready/)]);
    daemon.child.kill('SIGKILL');
    assert.deepEqual(end, { status: null, signal: 'SIGTERM' });
  });

  it('directories that were there stay, and those with something of others in them', async () => {
    const socket = place.path('a/b/c/q.sock');
    const daemon = await place.daemon(['-l', `qemu:${socket}`]);
    writeFileSync(place.path('a/other'), '');
    daemon.child.kill('SIGTERM');
    await daemon.ended;
    assert.deepEqual(readdirSync(place.path('a')), ['other']);
  });

  it('SIGUSR1 opens no debugger', async () => {
    const daemon = await place.daemon();
    daemon.child.kill('SIGUSR1');
    await daemon.says(/SIGUSR1 ignored/);
    daemon.child.kill('SIGTERM');
    await daemon.ended;
    assert.doesNotMatch(daemon.stderr, /Debugger listening/);
  });

  it('--exit-with-parent: it ends when the process that started it is killed', async () => {
    const script = `const { spawn } = require('child_process');
      spawn(process.execPath, ${JSON.stringify([HAWSER, 'run', '--exit-with-parent', '--log-file', place.path('log')])},
        { stdio: 'ignore' });
      setInterval(() => {}, 1e6);`;
    const launcher = place.start(process.execPath, ['-e', script]);
    await until(() => existsSync(place.path('hawser/default/api.sock')));
    launcher.child.kill('SIGKILL');
    await launcher.ended;
    await until(() => !existsSync(place.path('hawser')));
    assert.match(readFileSync(place.path('log'), 'utf8'), /its parent, process \d+, is gone/);
  });

  it('--exit-with-parent=PID of another process: status 1 at once, as the parent may be gone', async () => {
    const daemon = place.hawser(['run', `--exit-with-parent=${process.ppid}`]);
    assert.equal((await daemon.ended).status, 1);
    assert.match(daemon.stderr, /--exit-with-parent: process \d+ is not the parent/);
    assert.deepEqual(readdirSync(place.dir), []);
    const own = await place.daemon([`--exit-with-parent=${process.pid}`]);
    own.child.kill('SIGTERM');
    assert.equal((await own.ended).status, 0);
  });

  it('--exit-with-ready-fd: it ends when the reader of a socket goes', async () => {
    const daemon = place.hawser(['run', '--ready-fd', '3', '--exit-with-ready-fd']);
    const reader = daemon.child.stdio[3];
    assert.ok(reader instanceof Readable);
    await new Promise((resolve) => reader.once('data', resolve));
    reader.destroy();
    assert.equal((await daemon.ended).status, 0);
    assert.match(daemon.stderr, /--ready-fd has no reader/);
    assert.deepEqual(readdirSync(place.dir), []);
  });

  it('--exit-with-ready-fd: it ends when the reader of a pipe goes', async () => {
    const run = `exec "$0" "$1" run --ready-fd 3 --exit-with-ready-fd 3>&1 >&2`;
    const daemon = place.start('sh', ['-c', `(${run}) | head -n 1`, process.execPath, HAWSER]);
    assert.equal((await daemon.ended).status, 0);
    assert.match(daemon.stderr, /--ready-fd has no reader/);
    assert.match(daemon.stdout, /^\{"ready":true/);
  });

  it('--exit-with-ready-fd without --ready-fd is bad usage', async () => {
    const daemon = place.hawser(['run', '--exit-with-ready-fd']);
    assert.equal((await daemon.ended).status, 2);
    assert.match(daemon.stderr, /--exit-with-ready-fd needs --ready-fd/);
  });

  it('--exit-with-guest: without a first guest for --guest-timeout it fails, saying so', async () => {
    const daemon = place.hawser(['run', '--exit-with-guest', '--guest-timeout', '1']);
    assert.equal((await daemon.ended).status, 1);
    assert.match(daemon.stderr, /^hawser: no guest has come within 1 s/m);
    assert.deepEqual(readdirSync(place.dir), []);
  });

  it('--exit-with-guest: a guest that came in time is waited for', async () => {
    const args = ['--exit-with-guest', '--guest-timeout', '1', '--log-level', 'debug'];
    const daemon = await place.daemon(args);
    const guest = connect(place.path('hawser/default/qemu.sock'));
    await daemon.says(/guest link up/);
    await daemon.says(/a guest has come in time/);
    assert.equal(daemon.child.exitCode, null);
    guest.destroy();
    assert.equal((await daemon.ended).status, 0);
  });

  it('SIGHUP opens the log file again, and reads hosts and zones', async () => {
    const config = place.path('c.yaml');
    const log = place.path('log');
    writeFileSync(config, 'dnsZone: one.example=192.168.127.2\n');
    const daemon = place.hawser(['run', '--config', config, '--log-file', log]);
    await until(() => existsSync(log) && /is ready/.test(readFileSync(log, 'utf8')));
    assert.equal(statSync(log).mode & 0o777, 0o600);
    renameSync(log, `${log}.1`);
    daemon.child.kill('SIGHUP');
    await until(() => existsSync(log) && /read again/.test(readFileSync(log, 'utf8')));
    writeFileSync(config, 'dnsZone: nonsense\n');
    daemon.child.kill('SIGHUP');
    await until(() => /the previous settings stay in effect/.test(readFileSync(log, 'utf8')));
    assert.match(readFileSync(log, 'utf8'), /c\.yaml:1: dnsZone: nonsense: must be ZONE=IP/);
    daemon.child.kill('SIGTERM');
    assert.equal((await daemon.ended).status, 0);
    assert.equal(daemon.stderr, '');
  });

  const bad: [string, string[], RegExp][] = [
    [
      '--hosts that is not there',
      ['--hosts', '/nonexistent/hosts'],
      /--hosts \/nonexistent\/hosts: cannot be read: ENOENT/,
    ],
    [
      'a lease file in a file',
      ['--lease-file', `${HAWSER}/leases`],
      /--lease-file .*: cannot be written: (ENOTDIR|EEXIST).*; make its directory, or choose another path/,
    ],
    [
      'a lease file that is a directory',
      ['--lease-file', '/'],
      /--lease-file \/: cannot be written: \/ is a directory: name a regular file/,
    ],
    [
      'a hosts file that is a device',
      ['--hosts', '/dev/zero'],
      /--hosts \/dev\/zero: cannot be read: \/dev\/zero is a device: name a regular file/,
    ],
    [
      'a configuration that is a device',
      ['--config', '/dev/zero'],
      /--config \/dev\/zero: cannot be read: \/dev\/zero is a device: name a regular file/,
    ],
    [
      'one file for two purposes',
      ['--lease-file', '/nonexistent/x', '--pid-file', '/nonexistent/x'],
      /--pid-file \/nonexistent\/x: must not be used twice/,
    ],
    [
      'a multiplexer link for guests',
      ['-l', 'vsock:3'],
      /vsock: is a link of the multiplexer: --mux$/m,
    ],
    ['a link of guests for agents', ['--mux', 'tap:t0'], /tap: is where guests attach: --listen$/m],
    [
      'a link without its port',
      ['-l', 'qemu:127.0.0.1'],
      /qemu:127\.0\.0\.1: must be qemu:IP:PORT/,
    ],
  ];
  for (const [what, args, message] of bad) {
    it(`${what} is said at the start: status 2`, async () => {
      const daemon = place.hawser(['run', ...args]);
      assert.equal((await daemon.ended).status, 2, daemon.stderr);
      assert.match(daemon.stderr, message);
      assert.deepEqual(readdirSync(place.dir), []);
    });
  }

  for (const [flag, scheme, port] of [
    ['--listen', 'qemu:', ''],
    ['--listen', 'vhost-user:', ''],
    ['--mux', 'unix:', ''],
    ['--mux', 'hybrid-vsock:', ':3'],
    ['--api', 'unix:', ''],
  ] as const) {
    it(`${flag} ${scheme} whose directory cannot be made: the option, the path and why`, async () => {
      const dir = `${HAWSER}/in/a/file`;
      const link = `${scheme}${dir}/s${port}`;
      const daemon = place.hawser(['run', '--log-level', 'error', flag, link]);
      assert.equal((await daemon.ended).status, 1);
      assert.equal(
        daemon.stderr,
        `hawser: ${flag} ${link}: cannot make the directory ${dir}: ENOTDIR; make it, or choose another path\n`,
      );
    });
  }

  for (const [name, message] of [
    ['hawser-none', 'EPERM (permission is missing: it needs root, or CAP_NET_ADMIN '],
    ['lo', 'EINVAL (an interface of that name is no TAP '],
  ] as const) {
    itNeeding(
      `tap:${name} of somebody without rights: why`,
      ['koffi', 'tun', 'userns'],
      async () => {
        const run = [process.execPath, HAWSER, 'run', '--log-level', 'error', '-l', `tap:${name}`];
        const daemon = place.start('unshare', ['-Ur', ...run]);
        assert.equal((await daemon.ended).status, 1);
        assert.ok(
          daemon.stderr.startsWith(`hawser: cannot attach to TAP ${name}: ${message}`),
          daemon.stderr,
        );
      },
    );
  }

  for (const option of ['--pid-file', '--lease-file', '--hosts', '--config', '--api-token-file']) {
    it(`a FIFO as ${option} is refused, not waited for`, async () => {
      const fifo = place.path('fifo');
      execFileSync('mkfifo', [fifo]);
      const api = option === '--api-token-file' ? ['--api', 'tcp:127.0.0.1:0'] : [];
      const daemon = place.hawser(['run', ...api, option, fifo]);
      assert.notEqual((await daemon.ended).status, 0);
      assert.match(daemon.stderr, /fifo is a FIFO: name a regular file/);
      assert.deepEqual(readdirSync(place.dir), ['fifo']);
    });
  }

  it('a hosts file that is gone, or becomes a FIFO, is said on SIGHUP, and what it said stays', async () => {
    const hosts = place.path('hosts');
    writeFileSync(hosts, '10.0.0.1 box\n');
    const daemon = await place.daemon(['--hosts', hosts]);
    rmSync(hosts);
    daemon.child.kill('SIGHUP');
    await daemon.says(/not all is read again.*/);
    assert.match(daemon.stderr, /"unread":\["ENOENT[^"]*hosts'?"\]/);
    execFileSync('mkfifo', [hosts]);
    daemon.child.kill('SIGHUP');
    await daemon.says(/hosts is a FIFO/);
    daemon.child.kill('SIGTERM');
    assert.equal((await daemon.ended).status, 0);
  });

  it('a start without room on the disk leaves no draft', async () => {
    const script = 'trap "" XFSZ; ulimit -f 0; exec "$0" "$@"';
    const args = [process.execPath, HAWSER, 'run', '--pid-file', place.path('pid')];
    const daemon = place.start('sh', ['-c', script, ...args]);
    assert.equal((await daemon.ended).status, 1);
    assert.match(daemon.stderr, /cannot write the pid file .*EFBIG/);
    assert.deepEqual(readdirSync(place.dir), []);
  });

  it('--log-file follows no symbolic link', async () => {
    symlinkSync(place.path('elsewhere'), place.path('log'));
    const daemon = place.hawser(['run', '--log-file', place.path('log')]);
    assert.equal((await daemon.ended).status, 1);
    assert.match(daemon.stderr, /cannot open --log-file .*ELOOP/);
    assert.ok(!existsSync(place.path('elsewhere')));
  });

  it('sockets are for this user alone under any umask, or as --socket-mode says', async () => {
    const links = ['-l', `qemu:${place.path('q')}`, '--mux', `unix:${place.path('m')}`];
    const modes = () =>
      ['q', 'm', 'hawser/default/api.sock'].map((name) => statSync(place.path(name)).mode & 0o777);
    const start = async (...more: string[]) => {
      const script = 'umask 0; exec "$0" "$@"';
      const daemon = place.start('sh', [
        '-c',
        script,
        process.execPath,
        HAWSER,
        'run',
        ...links,
        ...more,
      ]);
      await daemon.says(/hawser is ready/);
      return daemon;
    };
    const closed = await start();
    assert.deepEqual(modes(), [0o600, 0o600, 0o600]);
    closed.child.kill('SIGTERM');
    await closed.ended;
    await start('--socket-mode', '0660');
    assert.deepEqual(modes(), [0o660, 0o660, 0o600]);
  });
});

async function until(isDone: () => boolean): Promise<void> {
  while (!isDone()) await new Promise((resolve) => setTimeout(resolve, 10));
}
