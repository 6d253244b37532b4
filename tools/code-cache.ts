/**
 * Run by the build: starts `hawser run` in this process as users do, and when it is ready keeps what V8 has compiled
 * in a file beside the program.
 *
 *     node dist/tools/code-cache.js PROGRAM
 */
import { mkdtempSync, openSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { cachePath, loadProgram } from '../src/cli/boot/program-file.ts';

const POLL_MS = 5;
const PATIENCE_MS = 30_000;

const path = resolve(process.argv[2] ?? '');
const dir = mkdtempSync(join(tmpdir(), 'hawser-build-'));
process.on('exit', () => rmSync(dir, { recursive: true, force: true }));
process.env['XDG_RUNTIME_DIR'] = dir;

const ready = join(dir, 'ready');
const listen = ['--listen', `qemu:${dir}/guest.sock`, '-p', '0:80', '-p', '0:53/udp'];
const options = [
  '--ready-fd',
  `${openSync(ready, 'w')}`,
  '--log-level',
  'warn',
  '--sandbox',
  'off',
];
process.argv = [process.execPath, path, 'run', ...listen, ...options];
const program = loadProgram(path);
program.run('hawser');

const begun = performance.now();
setInterval(() => {
  if (statSync(ready).size > 0) {
    const cache = `${cachePath(path)}.new`;
    writeFileSync(cache, program.makeCache());
    renameSync(cache, cachePath(path));
    process.exit(0);
  }
  if (performance.now() - begun > PATIENCE_MS) {
    process.stderr.write(`${path}: not ready after ${PATIENCE_MS} ms\n`);
    process.exit(1);
  }
}, POLL_MS);
