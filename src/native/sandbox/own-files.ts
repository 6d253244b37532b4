/** The files that a running Node needs again, or only later: its program, libraries, modules, and what they read. */
import { readFileSync, realpathSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import type { FileGrant } from './landlock.ts';

/** Libraries of name services, character sets, certificates, time zones; and where some systems keep everything. */
const SYSTEM = ['/etc', '/usr', '/lib', '/lib64', '/nix/store', '/gnu/store'];
/** About this process, and the machine's memory and processors. */
const KERNEL = ['/proc', '/sys/fs/cgroup', '/sys/devices/system'];
const DEVICES = ['/dev/null', '/dev/zero', '/dev/random', '/dev/urandom', '/dev/tty', '/dev/vsock'];
/** Variables that name files which Node or OpenSSL read. */
const FILE_VARIABLES = ['NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE', 'OPENSSL_CONF', 'NODE_ICU_DATA'];

/** Packages that are loaded from where they are, beside those that they need. */
const NATIVE = ['koffi', 'node-vsock'];

const LOADER = /\/ld-(linux|musl)[^/]*$/;

/** @param program the folder of the program's own files */
export function ownFiles(program: string, env: NodeJS.ProcessEnv): FileGrant[] {
  const mapped = mappedFiles();
  const read = [
    ...SYSTEM,
    ...KERNEL,
    program,
    ...moduleFolders(program),
    ...mapped.map((path) => (path.endsWith('.node') ? dirname(dirname(path)) : dirname(path))),
    ...FILE_VARIABLES.flatMap((name) => env[name] ?? []),
    ...filesOfOptions([...process.execArgv, ...(env['NODE_OPTIONS'] ?? '').split(' ')]),
  ];
  const run = [process.execPath, ...mapped.filter((path) => LOADER.test(path))];
  const coverage = env['NODE_V8_COVERAGE'];
  return [
    ...read.map((path): FileGrant => ({ path, access: 'read' })),
    ...run.map((path): FileGrant => ({ path, access: 'run' })),
    ...DEVICES.map((path): FileGrant => ({ path, access: 'device' })),
    ...(coverage === undefined ? [] : [{ path: coverage, access: 'write' } as const]),
  ];
}

/** Programs and libraries in memory. */
function mappedFiles(): string[] {
  const paths = new Set<string>();
  for (const line of readFileSync('/proc/self/maps', 'utf8').split('\n')) {
    const path = /^\S+ r.xp (?:\S+ +){3}(\/.*)$/.exec(line)?.[1];
    if (path !== undefined) paths.add(path);
  }
  return [...paths];
}

/** Where packages are looked for: beside the program, and beside the folders above it. */
function moduleFolders(program: string): string[] {
  const folders: string[] = [];
  for (let at = program; ; at = dirname(at)) {
    folders.push(join(at, 'node_modules'));
    if (dirname(at) === at) break;
  }
  const links = folders.flatMap((folder) => NATIVE.map((name) => join(folder, name)));
  return [...folders, ...links.flatMap(realPathOf)];
}

/** The packages beside a package that is a symbolic link. */
function realPathOf(link: string): string[] {
  try {
    return [dirname(realpathSync(link))];
  } catch {
    return [];
  }
}

/** Modules that Node's own options name: `--import=/opt/trace.mjs`. */
const filesOfOptions = (options: readonly string[]): string[] =>
  options
    .map((option) => option.replace(/^--[\w-]+=/, '').replace(/^file:\/\//, ''))
    .filter((path) => isAbsolute(path))
    .map((path) => dirname(path));
