/**
 * The VM's kernel and initramfs, made from what the distribution installed: its kernel image, the
 * virtio modules, and a static busybox. The initramfs is cached under
 * `$XDG_CACHE_HOME/hawser/initramfs-HASH.gz`; the steps of one run, and what else it needs, follow it
 * as a second archive.
 */
import { Buffer } from 'node:buffer';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { type CpioEntry, makeCpio, padding } from './cpio.ts';
import { FUNCTIONS_SCRIPT, INIT_SCRIPT, MODULES, UDHCPC_SCRIPT } from './init-script.ts';
import type { VmKernel } from './vm-parts.ts';
import type { VmStep } from './vm-steps.ts';

/** The cached initramfs for this kernel and busybox, built when it is not there yet. */
export function buildInitramfs(
  kernel: VmKernel,
  busybox: string,
  cacheDir: string = defaultCache(),
): Buffer {
  const busyboxBytes = readFileSync(busybox);
  const modules = MODULES.map((name) => [name, readModule(kernel, name)] as const);
  const hash = createHash('sha256').update(kernel.version).update(busyboxBytes);
  hash.update(INIT_SCRIPT).update(FUNCTIONS_SCRIPT).update(UDHCPC_SCRIPT);
  for (const [name, data] of modules) hash.update(name).update(data ?? '');
  const file = join(cacheDir, `initramfs-${hash.digest('hex').slice(0, 16)}.gz`);
  if (existsSync(file)) return readFileSync(file);

  const entries: CpioEntry[] = ['bin', 'dev', 'proc', 'sys', 'tmp', 'etc', 'modules', 'hawser'].map(
    (path) => ({ path, kind: 'dir' }),
  );
  const addFile = (path: string, data: Uint8Array, executable: boolean): void => {
    entries.push({ path, kind: 'file', data, executable });
  };
  addFile('bin/busybox', busyboxBytes, true);
  entries.push({ path: 'bin/sh', kind: 'link', target: 'busybox' });
  addFile('init', Buffer.from(INIT_SCRIPT), true);
  addFile('hawser/functions', Buffer.from(FUNCTIONS_SCRIPT), false);
  addFile('hawser/udhcpc', Buffer.from(UDHCPC_SCRIPT), true);
  for (const [name, data] of modules) {
    if (data !== undefined) addFile(`modules/${name}.ko`, data, false);
  }
  const archive = gzipSync(makeCpio(entries), { level: 6 });
  mkdirSync(cacheDir, { recursive: true });
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, archive);
  renameSync(draft, file);
  return archive;
}

/** What one run adds to the VM beside its steps. */
export interface VmExtras {
  /** Kernel modules, put at `/modules/NAME.ko` for a step to load; those built in are left out. */
  readonly modules: readonly string[];
  /** Absolute paths of files, put where they are on the host; not below /tmp, which is mounted over. */
  readonly files: readonly (string | MovedFile)[];
}

/** A file that is elsewhere in the VM. Absolute paths. */
export interface MovedFile {
  readonly from: string;
  readonly to: string;
}

/** The archive that follows the cached one: `hawser/steps/NN-NAME`, and the extras. */
export function stepsArchive(
  steps: readonly VmStep[],
  afterBytes: number,
  kernel: VmKernel,
  extras: VmExtras = { modules: [], files: [] },
): Buffer {
  const entries: CpioEntry[] = [{ path: 'hawser/steps', kind: 'dir' }];
  const addFile = (path: string, data: Uint8Array): void => {
    entries.push({ path, kind: 'file', data, executable: true });
  };
  for (const [i, step] of steps.entries()) {
    const name = `${String(i).padStart(2, '0')}-${step.name}`;
    addFile(`hawser/steps/${name}`, Buffer.from(step.script));
  }
  for (const name of extras.modules) {
    const data = readModule(kernel, name);
    if (data !== undefined) addFile(`modules/${name}.ko`, data);
  }
  const files = extras.files.map((file) =>
    typeof file === 'string' ? { from: file, to: file } : file,
  );
  for (const dir of parentsOf(files)) entries.push({ path: dir, kind: 'dir' });
  for (const { from, to } of files) addFile(to.slice(1), readFileSync(from));
  return Buffer.concat([padding(afterBytes), makeCpio(entries)]);
}

/** Every folder above the files, parents first, without the leading slash. */
function parentsOf(files: readonly MovedFile[]): ReadonlySet<string> {
  const dirs = new Set<string>();
  for (const { to } of files) {
    const parts = to.split('/').slice(1, -1);
    for (let i = 1; i <= parts.length; i++) dirs.add(parts.slice(0, i).join('/'));
  }
  return dirs;
}

/** @returns undefined when the kernel has it built in */
function readModule(kernel: VmKernel, name: string): Buffer | undefined {
  const list = readFileSync(join(kernel.modulesDir, 'modules.dep'), 'utf8');
  const path = list
    .split('\n')
    .map((line) => line.slice(0, line.indexOf(':')))
    .find(
      (file) =>
        file
          .replace(/^.*\//, '')
          .replace(/\.ko(\.\w+)?$/, '')
          .replaceAll('-', '_') === name,
    );
  if (path === undefined) return undefined;
  const file = join(kernel.modulesDir, path);
  const data = readFileSync(file);
  if (path.endsWith('.gz')) return gunzipSync(data);
  if (path.endsWith('.xz')) return execFileSync('xz', ['-dc', file], { maxBuffer: 64 << 20 });
  if (path.endsWith('.zst')) return execFileSync('zstd', ['-dc', file], { maxBuffer: 64 << 20 });
  return data;
}

function defaultCache(): string {
  const { XDG_CACHE_HOME: cache = join(homedir(), '.cache') } = process.env;
  return join(cache, 'hawser');
}
