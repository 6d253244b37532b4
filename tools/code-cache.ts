/**
 * Run by the build: starts a program in this process as users do, and when it is ready, begins another or ends, keeps
 * what V8 has compiled in a file beside it. What stays is started as `hawser-gvproxy` with hawser's own API: launchers wait
 * for that program, and it has all that `hawser run` has.
 *
 *     node dist/tools/code-cache.js PROGRAM
 */
import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { cachePath, loadProgram } from '../src/cli/boot/program-file.ts';
import { DAEMON, FIRST_START } from '../src/cli/boot/program-for.ts';

const POLL_MS = 5;
const PATIENCE_MS = 30_000;

const path = resolve(process.argv[2] ?? '');
const dir = mkdtempSync(join(tmpdir(), 'hawser-build-'));
process.on('exit', () => rmSync(dir, { recursive: true, force: true }));
process.env['XDG_RUNTIME_DIR'] = dir;
process.env['HAWSER_API'] = 'on';

const ready = join(dir, 'guest.sock');
const gvproxy = ['-listen-qemu', `unix://${ready}`, '-listen', `unix://${dir}/api.sock`];
const files = ['-pid-file', `${dir}/pid`, '-log-file', `${dir}/log`];
const run = ['run', '--listen', `qemu:${ready}`, '-p', '0:80', '--sandbox', 'off'];
const [name, args] = startOf(basename(path, '.js'));
process.argv = [process.execPath, path, ...args];
const program = loadProgram(path);
process.once('exit', (status) => status === 0 && keep());
program.run({ name, parent: process.ppid, begin: () => process.exit(0) });

const begun = performance.now();
setInterval(() => {
  if (existsSync(ready)) process.exit(0);
  if (performance.now() - begun > PATIENCE_MS) {
    process.stderr.write(`${path}: not ready after ${PATIENCE_MS} ms\n`);
    process.exit(1);
  }
}, POLL_MS);

function startOf(file: string): readonly [name: string, args: readonly string[]] {
  switch (file) {
    case DAEMON:
      return ['hawser-gvproxy', ['-ssh-port=-1', ...gvproxy, ...files]];
    case FIRST_START:
      return ['hawser', run];
    default:
      return ['hawser', ['completion', 'bash']];
  }
}

function keep(): void {
  const cache = `${cachePath(path)}.new`;
  writeFileSync(cache, program.makeCache());
  renameSync(cache, cachePath(path));
}
