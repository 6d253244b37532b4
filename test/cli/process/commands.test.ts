import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { wantsColour } from '../../../src/cli/colour.ts';
import { completionScript, SHELLS } from '../../../src/cli/completion.ts';
import { nextSteps } from '../../../src/cli/next-steps.ts';
import { RUN_OPTIONS } from '../../../src/cli/option-table.ts';
import { makeProgram } from '../../../src/cli/program.ts';
import { table } from '../../../src/cli/text-table.ts';
import { itNeeding } from '../../support/requirements.ts';
import { HAWSER, Workplace } from './hawser.ts';

const MAN = fileURLToPath(new URL('../../../man', import.meta.url));
const longFlag = (flags: string): string => /--[a-z0-9-]+/.exec(flags)?.[0] ?? flags;

describe('hawser as a program for people', () => {
  let place: Workplace;
  beforeEach(() => {
    place = new Workplace();
  });
  afterEach(() => place.close());
  const run = async (...args: string[]) => {
    const program = place.hawser(args);
    const { status } = await program.ended;
    assert.equal(status, 0, program.stderr);
    return program.stdout;
  };

  it('stop ends the daemon, and returns when it has ended', async () => {
    const daemon = await place.daemon();
    assert.match(
      await run('stop'),
      new RegExp(`^default \\(process ${daemon.pid}\\) has ended\n$`),
    );
    assert.deepEqual(await daemon.ended, { status: 0, signal: null });
    assert.deepEqual(readdirSync(place.dir), []);
    const again = place.hawser(['stop']);
    assert.equal((await again.ended).status, 1);
    assert.match(again.stderr, /cannot reach hawser/);
  });

  it('what is printed arrives whole, however much it is', async () => {
    await place.daemon();
    const rules = Array.from({ length: 5_000 }, (_, n) => ({
      allow: { name: `n${n}.example.com` },
    }));
    writeFileSync(place.path('policy'), JSON.stringify({ default: 'deny', rules }));
    await run('policy', 'set', place.path('policy'));
    assert.match(await run('policy', 'show'), /^allow n4999\.example\.com\ndefault deny\n$/m);
  });

  it('status shows the links of the multiplexer', async () => {
    await place.daemon(['--mux', `unix:${place.path('m')}`, '--mux', 'guest:4099']);
    const status = await run('status');
    assert.match(status, /^mux +unix:.*\/m \(listening\)$/m);
    assert.match(status, /^mux +guest:4099 \(connecting/m);
    const { mux } = JSON.parse(await run('status', '--json'));
    assert.equal(mux.length, 2);
  });

  it('status shows the addresses of both families', async () => {
    await place.daemon(['--subnet6', 'fd12:3456:789a:1::/64', '--nat64']);
    const status = await run('status');
    assert.match(status, /^IPv6 +fd12:3456:789a:1::\/64, default route, NAT64$/m);
    assert.match(status, /^gateway +192\.168\.127\.1, fd12:3456:789a:1::1$/m);
    assert.match(status, /^host +192\.168\.127\.254, fd12:3456:789a:1::254$/m);
  });

  it('status shows that IPv6 is off', async () => {
    await place.daemon(['--ipv6', 'off']);
    assert.match(await run('status'), /^IPv6 +off$/m);
  });

  it('status of a guest that is attached and silent says so', async () => {
    const daemon = await place.daemon(['--log-level', 'debug']);
    assert.match(await run('status'), /^No guest has attached yet\.$/m);
    const guest = connect(place.path('hawser/default/qemu.sock'));
    await daemon.says(/guest link up/);
    const status = await run('status');
    assert.match(status, /^link .* \(1 attached\)$/m);
    assert.match(status, /^A guest is attached, but has not been heard yet\.$/m);
    assert.doesNotMatch(status, /No guest/);
    guest.destroy();
  });

  it('version says what it runs on', async () => {
    assert.match(await run('version'), new RegExp(`^node +${process.versions.node}$`, 'm'));
    assert.equal(
      JSON.parse(await run('version', '--json')).platform,
      `${process.platform} ${process.arch}`,
    );
  });

  for (const shell of SHELLS) {
    it(`completion ${shell} knows every command and every option of run`, async () => {
      const script = await run('completion', shell);
      const program = makeProgram();
      for (const command of program.commands) assert.ok(script.includes(command.name()));
      for (const { flags } of RUN_OPTIONS) {
        const flag = longFlag(flags);
        assert.ok(script.includes(shell === 'fish' ? ` -l ${flag.slice(2)}` : flag), flag);
      }
    });

    itNeeding(`completion ${shell} is understood by ${shell}`, [shell], () => {
      const file = place.path('completion');
      writeFileSync(file, completionScript(shell, makeProgram()));
      const { status, stderr } = spawnSync(shell, ['-n', file], { encoding: 'utf8' });
      assert.equal(status, 0, stderr);
    });
  }

  itNeeding('bash completes commands, flags and files', ['bash'], () => {
    const script = completionScript('bash', makeProgram());
    const complete = (...words: string[]): string[] => {
      const input = `${script}
        COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}) COMP_CWORD=${words.length - 1}
        compopt() { :; }
        _hawser; printf '%s\\n' "\${COMPREPLY[@]}"`;
      const { stdout } = spawnSync('bash', ['-s'], { input, encoding: 'utf8', cwd: place.dir });
      return stdout.split('\n').filter((word) => word !== '');
    };
    assert.deepEqual(complete('hawser', 'sto'), ['stop']);
    assert.deepEqual(complete('hawser', 'run', '--exit-with-g'), ['--exit-with-guest']);
    assert.deepEqual(complete('hawser', 'run', '--mtu', ''), []);
    assert.ok(complete('hawser', 'run', '--hosts', '/etc/host').includes('/etc/hosts'));
  });

  it('the build leaves a manual page for every command', () => {
    for (const command of makeProgram().commands) {
      assert.ok(existsSync(join(MAN, `hawser-${command.name()}.1`)), command.name());
    }
    const run1 = readFileSync(join(MAN, 'hawser-run.1'), 'utf8');
    for (const { flags } of RUN_OPTIONS) {
      assert.ok(run1.includes(longFlag(flags).replaceAll('-', '\\-')), flags);
    }
  });

  itNeeding('the manual pages are as man takes them', ['groff'], () => {
    for (const name of readdirSync(MAN)) {
      const args = ['-man', '-Tutf8', '-ww', '-z', join(MAN, name)];
      assert.equal(spawnSync('groff', args, { encoding: 'utf8' }).stderr, '', name);
    }
  });

  it('a table fits the terminal by cutting its widest cells, and is whole elsewhere', () => {
    const rows = [['x'.repeat(60), 'short', 'y'.repeat(40)]];
    for (const line of table(['a', 'b', 'c'], rows, 60).split('\n')) assert.ok(line.length <= 60);
    assert.match(table(['a', 'b', 'c'], rows, 60), /x… {2}short {2}y+…/);
    assert.match(table(['a', 'b', 'c'], rows, undefined), /x{60} {2}short {2}y{40}/);
  });

  it('a narrow table has brief cells, then leaves columns out in their order, and cuts no whole cell', () => {
    const head = [
      { title: 'a', leftOut: 2 },
      { title: 'place', isWhole: true, brief: (text: string) => text.replace(/ \(.*/, '') },
      { title: 'b', leftOut: 1 },
      'rest',
    ] as const;
    const rows = [['aaa', '192.168.127.2:8080 (attached)', 'bbb', 'r'.repeat(20)]];
    const at = (width: number): string => table(head, rows, width).split('\n')[1] ?? '';
    assert.equal(at(61), `aaa  192.168.127.2:8080 (attached)  bbb  ${'r'.repeat(20)}`);
    assert.equal(at(60), `aaa  192.168.127.2:8080  bbb  ${'r'.repeat(20)}`);
    assert.equal(at(49), `aaa  192.168.127.2:8080  ${'r'.repeat(20)}`);
    assert.equal(at(44), `192.168.127.2:8080  ${'r'.repeat(20)}`);
    assert.equal(at(30), `192.168.127.2:8080  ${'r'.repeat(9)}…`);
    assert.equal(at(10), `192.168.127.2:8080  ${'r'.repeat(7)}…`);
  });

  it('sentences are broken between words, and words are whole', () => {
    const head = ['', { title: '', isText: true }] as const;
    const rows = [
      ['status', 'degraded\nA sentence that says what to do.'],
      ['API', `unix:${'p'.repeat(30)}`],
    ];
    assert.equal(
      table(head, rows, 24),
      `status  degraded
        A sentence that
        says what to do.
API     unix:${'p'.repeat(30)}
`,
    );
    assert.match(table(head, rows, undefined), /^ {8}A sentence that says what to do\.$/m);
  });

  it('an address of IPv6 is cut in its middle once the columns that may be left out are, one of IPv4 never', () => {
    const head = [
      { title: 'guest', isAddress: true },
      { title: 'remote', isAddress: true },
      { title: 'age', leftOut: 1 },
    ] as const;
    const rows = [
      ['[fd80:cdac:953e:b259:449e:84ff:fe08:469c]:41234', '192.168.127.254:8000', '1 s'],
    ];
    const at = (width: number): string => table(head, rows, width).split('\n')[1] ?? '';
    assert.equal(
      at(74),
      '[fd80:cdac:953e:b259:449e:84ff:fe08:469c]:41234  192.168.127.254:8000  1 s',
    );
    assert.equal(at(60), '[fd80:cdac:953e:…fe08:469c]:41234  192.168.127.254:8000  1 s');
    assert.equal(at(45), '[fd80:cdac:…469c]:41234  192.168.127.254:8000');
    assert.equal(at(20), '[fd80:cdac…69c]:41234  192.168.127.254:8000');
  });

  it('NO_COLOR and FORCE_COLOR are heard', () => {
    assert.equal(wantsColour({}, true), true);
    assert.equal(wantsColour({}, false), false);
    assert.equal(wantsColour({ NO_COLOR: '1' }, true), false);
    assert.equal(wantsColour({ FORCE_COLOR: '1' }, false), true);
    assert.equal(wantsColour({ FORCE_COLOR: '0' }, true), false);
    assert.equal(wantsColour({ NO_COLOR: '1', FORCE_COLOR: '1' }, true), false);
    assert.equal(wantsColour({ NO_COLOR: '' }, true), true);
  });

  itNeeding(
    'a daemon on a terminal says what to do next, with colours unless NO_COLOR',
    ['script'],
    async () => {
      const onTerminal = (env: NodeJS.ProcessEnv) => {
        const argv = `'${process.execPath}' '${HAWSER}' run -p 0:80`;
        const command = `exec ${argv} --exit-with-parent`; // killed, script leaves it behind
        return place.start('script', ['-qefc', command, '/dev/null'], {
          env,
          stdio: ['pipe', 'pipe', 'pipe'],
        });
      };
      const plain = onTerminal({ NO_COLOR: '1' });
      await plain.says(
        /inspect: hawser status, hawser flows; end: Ctrl-C, or hawser stop/,
        'stdout',
      );
      assert.match(plain.stdout, /attach: qemu-system-x86_64 .*addr\.path=.*\/qemu\.sock/);
      assert.match(plain.stdout, /published: .*:\d+\/tcp/);
      assert.ok(!plain.stdout.includes('\u001b['));
      await run('stop');
      await plain.ended;
      const coloured = onTerminal({});
      await coloured.says(/inspect:/, 'stdout');
      assert.ok(coloured.stdout.includes('\u001b['));
      await run('stop');
      await coloured.ended;
    },
  );

  it('what to do next is said for each kind of link', () => {
    const links = ['qemu:[::1]:7', 'vhost-user:/v', 'tap:t', 'qemu-connect:/q'];
    const text = nextSteps({ name: 'two', links, ports: [] });
    assert.match(text, /addr\.type=inet,addr\.host=::1,addr\.port=7/);
    assert.match(text, /path=\/v,reconnect=1/);
    assert.match(text, /hawser status --name two/);
    assert.equal(text.split('\n').length, 4);
  });
});
