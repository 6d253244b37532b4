/**
 * The VM's kernel and initramfs, made from what the distribution installed: its kernel image, the
 * virtio modules, and a static busybox. The initramfs is cached under
 * `$XDG_CACHE_HOME/hawser/initramfs-HASH.gz`; the steps of one run, and what else it needs, follow it
 * as a second archive.
 */
import { Buffer } from 'node:buffer';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { type CpioEntry, makeCpio, padding } from './cpio.ts';
import { FUNCTIONS_SCRIPT, INIT_SCRIPT, MODULES, UDHCPC_SCRIPT } from './init-script.ts';
import type { VmStep } from './vm-steps.ts';

/** Something the VM needs is not installed. The message names the package that has it. */
export class VmUnavailableError extends Error {
  readonly code = 'ERR_HAWSER_VM_UNAVAILABLE';
}

export interface VmKernel {
  readonly image: string;
  readonly version: string;
  readonly modulesDir: string;
}

const PACKAGES =
  'install them with: apt-get install qemu-system-x86 linux-image-cloud-amd64 busybox-static';

/** @returns the newest `*-cloud-amd64` kernel whose modules are there, else the newest other one */
export function findKernel(bootDir = '/boot', modulesRoot = '/lib/modules'): VmKernel {
  const found = (existsSync(bootDir) ? readdirSync(bootDir) : [])
    .filter((file) => file.startsWith('vmlinuz-'))
    .map((file) => {
      const version = file.slice('vmlinuz-'.length);
      return { image: join(bootDir, file), version, modulesDir: join(modulesRoot, version) };
    })
    .filter(({ image, modulesDir }) => readable(image) && readable(modulesDir))
    .sort((a, b) => rank(b.version) - rank(a.version) || compareVersions(b.version, a.version));
  const best = found[0];
  if (best !== undefined) return best;
  throw new VmUnavailableError(
    `no Linux kernel for the VM: looked for a readable ${bootDir}/vmlinuz-VERSION with ` +
      `${modulesRoot}/VERSION (package linux-image-cloud-amd64); ${PACKAGES}`,
  );
}

const rank = (version: string): number => (version.endsWith('-cloud-amd64') ? 1 : 0);
const compareVersions = (a: string, b: string): number =>
  a.localeCompare(b, 'en', { numeric: true });

export function findBusybox(): string {
  const busybox = onPath('busybox');
  if (busybox === undefined) {
    throw new VmUnavailableError(`no busybox on PATH (package busybox-static); ${PACKAGES}`);
  }
  // A dynamic busybox has a PT_INTERP segment that names the loader, which the VM does not have.
  if (readFileSync(busybox).includes('/ld-linux')) {
    throw new VmUnavailableError(
      `${busybox} is dynamically linked: package busybox-static is needed; ${PACKAGES}`,
    );
  }
  return busybox;
}

export function findQemu(): string {
  const qemu = onPath('qemu-system-x86_64');
  if (qemu !== undefined) return qemu;
  throw new VmUnavailableError(
    `no qemu-system-x86_64 on PATH (package qemu-system-x86); ${PACKAGES}`,
  );
}

/** The full path of a program, looked for as a shell does, and in the sbin folders. */
export function onPath(program: string): string | undefined {
  const { PATH = '' } = process.env;
  const dirs = [...PATH.split(delimiter), '/usr/sbin', '/sbin', '/bin'];
  return dirs
    .filter((dir) => dir !== '')
    .map((dir) => join(dir, program))
    .find((file) => readable(file, constants.X_OK));
}

function readable(file: string, mode = constants.R_OK): boolean {
  try {
    accessSync(file, mode);
    return true;
  } catch {
    return false;
  }
}

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
