import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { buildInitramfs, stepsArchive } from '../../src/lab/vm/initramfs.ts';
import { QEMU_MACHINE } from '../../src/lab/vm/start-vm.ts';
import { findBusybox, findKernel } from '../../src/lab/vm/vm-parts.ts';
import { systemSuite } from '../support/requirements.ts';
import { parsePage, scriptOf } from './support/doc-script.ts';

const PAGES = [
  'README.md',
  ...readdirSync('docs', { encoding: 'utf8', recursive: true }).map((name) => `docs/${name}`),
].filter((name) => name.endsWith('.md'));
const PROGRAMS = [
  'hawser',
  'hawser-gvproxy',
  'hawser-pasta',
  'hawser-slirp4netns',
  'hawser-vpnkit',
];
const MAIN_COMMANDS = ['npm ci && npm start', 'npm ci && npm test'];
/** Of what is tested here already. */
const BUILD = 'npm run build';

/** Its network and files are the script's own: nothing reaches the machine's. */
const ISOLATED = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
const PRELUDE = (dir: string): string => `
set -euo pipefail
mount -t tmpfs none /run
mkdir -p /run/user/0 /run/netns ${dir}/home
echo nameserver 127.0.0.1 > ${dir}/resolv.conf
mount --bind ${dir}/resolv.conf /etc/resolv.conf
ip link set lo up
sysctl -qw net.ipv4.ping_group_range='0 2147483647'
export HOME=${dir}/home XDG_RUNTIME_DIR=/run/user/0 PATH=${dir}/bin:$PATH NO_COLOR=1
cd ${dir}
at() { echo "at: $1" >&2; }
await_daemon() {
  for _ in $(seq 100); do
    if hawser status --name "$2" > /dev/null 2>&1; then return 0; fi
    kill -0 "$1" || return 1
    sleep 0.1
  done
  return 1
}
await_sockets() {
  local pid=$1 path
  shift
  for path in "$@"; do
    for _ in $(seq 100); do
      [ -S "$path" ] && break
      kill -0 $pid || return 1
      sleep 0.1
    done
    [ -S "$path" ] || return 1
  done
}
await_vm() { for _ in $(seq 300); do grep -qs 'HTTP accepts' console && return 0; sleep 0.1; done; cat console; return 1; }
await_line() { sleep 0.5; }
`;
/** What the VM does: a lease, and a web server. */
const SERVE = `udhcpc -i eth0 -n -q -s /hawser/udhcpc >/dev/null
mkdir /tmp/www
echo hello >/tmp/www/index.html
httpd -p 80 -h /tmp/www
echo 'HTTP accepts' >/dev/ttyS0
sleep 3600
`;

systemSuite(
  'commands of the documentation',
  ['root', 'netns', 'tun', 'vm', 'curl', 'udhcpc', 'nc', 'ping'],
  function () {
    this.timeout(120_000);
    let dir = '';

    before(() => {
      dir = mkdtempSync(join(tmpdir(), 'hawser-docs-'));
      mkdirSync(join(dir, 'bin'));
      for (const name of PROGRAMS) {
        writeProgram(name, `exec ${process.execPath} ${resolve('dist/bin', name)}.js "$@"`);
      }
      const kernel = findKernel();
      const initramfs = buildInitramfs(kernel, findBusybox());
      const serve = stepsArchive([{ name: 'serve', script: SERVE }], initramfs.length, kernel);
      writeFileSync(join(dir, 'initramfs'), Buffer.concat([initramfs, serve]));
      const machine = [
        ...QEMU_MACHINE,
        ...['-nodefaults', '-display', 'none', '-serial', 'file:console', '-no-reboot'],
        ...['-kernel', kernel.image, '-initrd', join(dir, 'initramfs')],
      ].join(' ');
      writeProgram(
        'qemu-system-x86_64',
        `args=(); memory='-m 256'
for arg in "$@"; do case $arg in ...) ;; -m) memory=; args+=("$arg");; *) args+=("$arg");; esac; done
PATH=\${PATH#*:}
exec qemu-system-x86_64 ${machine} $memory -append 'console=ttyS0 quiet panic=-1' "\${args[@]}"`,
      );
    });

    after(() => rmSync(dir, { recursive: true, force: true }));

    function writeProgram(name: string, body: string): void {
      writeFileSync(join(dir, 'bin', name), `#!/bin/bash\n${body}\n`, { mode: 0o755 });
    }

    async function run(script: string): Promise<void> {
      const child = spawn('unshare', [...ISOLATED, 'bash', '-c', `${PRELUDE(dir)}${script}`], {
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let output = '';
      for (const stream of [child.stdout, child.stderr]) {
        stream.on('data', (chunk) => {
          output = `${output}${chunk}`.slice(-4_000);
        });
      }
      const status = await new Promise((settle) => child.once('exit', settle));
      assert.equal(status, 0, output);
    }

    for (const name of PAGES) {
      describe(name, () => {
        const page = parsePage(readFileSync(name, 'utf8'));
        for (const section of page.sections) {
          const commands = section.commands.filter(
            (command) => ![...MAIN_COMMANDS, BUILD].includes(command),
          );
          if (commands.length === 0) continue;
          it(`${section.title}: ${commands.length} commands`, () =>
            run(scriptOf({ ...section, commands }).join('\n')));
        }
        for (const [i, text] of page.yaml.entries()) {
          it(`configuration ${i + 1} is accepted`, () => {
            writeFileSync(join(dir, 'config.yaml'), text);
            return run('hawser run --config config.yaml --print-config');
          });
        }
        for (const { example, code } of page.typescript) {
          it(`its TypeScript stands in ${example}`, () => {
            assert.ok(readFileSync(example, 'utf8').includes(code.trim()), code);
          });
        }
      });
    }

    it('the commands of the README that build and test are those that CI runs', () => {
      const ci = readFileSync('.ci/run', 'utf8');
      const readme = readFileSync('README.md', 'utf8');
      for (const command of MAIN_COMMANDS) {
        assert.ok(readme.includes(command), command);
        for (const part of command.split(' && ')) {
          assert.match(ci, new RegExp(`^.*${part}( |$)`, 'm'), `${part} in .ci/run`);
        }
      }
    });
  },
);
