/**
 * What a user gets: hawser is packed, and installed in a project of its own that has the examples.
 *
 * - the tarball: no source maps and no name of one, no benchmark, no code cache; every entry point is there
 * - `tsc --strict` with `skipLibCheck` off under several versions of TypeScript, with no package but the tarball
 * - the examples run
 * - esbuild's bundles of a launcher start, ESM and CommonJS, where there is no node_modules
 *
 *     npm run test:package
 *
 * An example that lacks what it needs of the machine is left out, unless HAWSER_REQUIRE_ALL=1.
 */
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { buildInitramfs, stepsArchive } from '../src/lab/vm/initramfs.ts';
import { findBusybox, findKernel, findQemu, VmUnavailableError } from '../src/lab/vm/vm-parts.ts';
import { leaseStep } from '../src/lab/vm/vm-steps.ts';

const TYPESCRIPTS = ['5.7.3', '5.9.3', '7.0.2'];
const MUST = process.env['HAWSER_REQUIRE_ALL'] === '1';
/** An example's, when the machine lacks something. */
const LACKS = 2;
const HELLO = 'hello from the guest';

const SMOKE = `
import { createNetwork } from 'hawser';
import { Mux } from 'hawser/mux';
async function main() {
  const network = await createNetwork({ listen: 'qemu:127.0.0.1:0', publish: '127.0.0.1:0:80', guestApi: true });
  const { links } = network.view.info();
  const api = await network.serveApi({ address: 'unix:' + process.argv[2] });
  console.log(links.length, network.view.ports().length, api.where.slice(0, 5), typeof Mux, network.view.health().status);
  await network.close();
}
main().catch((error) => { console.error(error); process.exit(1); });
`;

const dir = mkdtempSync(join(tmpdir(), 'hawser-package-'));
process.on('exit', () => rmSync(dir, { recursive: true, force: true }));
const project = join(dir, 'project');
let failures = 0;

interface Ran {
  readonly status: number | null;
  readonly out: string;
}

function run(cwd: string, argv: readonly string[], timeoutMs = 300_000): Ran {
  const [program = '', ...args] = argv;
  const done = spawnSync(program, args, { cwd, encoding: 'utf8', timeout: timeoutMs });
  return { status: done.status, out: `${done.stdout}${done.stderr}${done.error?.message ?? ''}` };
}

function must(cwd: string, argv: readonly string[]): string {
  const { status, out } = run(cwd, argv);
  if (status !== 0) throw new Error(`${argv.join(' ')}: status ${status}\n${out}`);
  return out;
}

function report(what: string, ok: boolean, detail: string): void {
  if (!ok) failures++;
  const lines = detail.trim() === '' ? '' : `\n${detail.trim().replace(/^/gm, '      ')}`;
  process.stdout.write(
    `${ok ? '  ok  ' : '  FAIL'} ${what}${ok && !what.startsWith('run') ? '' : lines}\n`,
  );
}

interface Packed {
  readonly filename: string;
  readonly size: number;
  readonly unpackedSize: number;
  readonly files: readonly { readonly path: string }[];
}

function pack(): string {
  const text = must('.', ['npm', 'pack', '--json', '--silent', '--pack-destination', dir]);
  const packed: readonly Packed[] = JSON.parse(text.slice(text.indexOf('[')));
  const [tarball] = packed;
  if (tarball === undefined) throw new Error('npm pack made nothing');
  const { files, size, unpackedSize, filename } = tarball;
  process.stdout.write(
    `${filename}: ${size} bytes, ${unpackedSize} unpacked, ${files.length} files\n`,
  );
  const paths = files.map(({ path }) => path);
  const unwanted = paths.filter((path) =>
    /\.map$|\.cache$|\.tsbuildinfo$|^(dist\/)?bench\//.test(path),
  );
  report(
    'holds no source map, code cache or benchmark',
    unwanted.length === 0,
    unwanted.join('\n'),
  );
  const { bin, exports } = JSON.parse(readFileSync('package.json', 'utf8'));
  const entries =
    JSON.stringify([bin, exports]).match(/"(\.\/)?[\w./-]+\.(js|d\.ts|sh|json)"/g) ?? [];
  const missing = entries
    .map((entry) => entry.replaceAll('"', '').replace(/^\.\//, ''))
    .filter((entry) => !paths.includes(entry));
  report(`holds its ${entries.length} entry points`, missing.length === 0, missing.join('\n'));
  const text2 = files
    .filter(({ path }) => path.endsWith('.d.ts'))
    .filter(({ path }) => /from '\.[^']*\.ts'/.test(readFileSync(path, 'utf8')));
  report(
    'declarations import no source',
    text2.length === 0,
    text2.map(({ path }) => path).join('\n'),
  );
  return join(dir, filename);
}

function install(tarball: string): void {
  mkdirSync(project);
  cpSync('examples', project, { recursive: true });
  const manifest = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'));
  manifest.dependencies.hawser = `file:${tarball}`;
  writeFileSync(join(project, 'package.json'), JSON.stringify(manifest));
  must(project, ['npm', 'install', '--no-audit', '--no-fund', '--loglevel=error']);
  const installed = join(project, 'node_modules', 'hawser');
  const naming = readdirSync(installed, { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.(js|mjs|ts)$/.test(path))
    .filter((path) =>
      /^\/\/# sourceMappingURL=/m.test(readFileSync(join(installed, path), 'utf8')),
    );
  report('modules name no source map', naming.length === 0, naming.join('\n'));
}

function compile(): void {
  for (const version of TYPESCRIPTS) {
    const at = join(dir, `typescript-${version}`);
    mkdirSync(at);
    must(at, [
      'npm',
      'install',
      '--no-audit',
      '--no-fund',
      '--loglevel=error',
      `typescript@${version}`,
    ]);
    const tsc = join(at, 'node_modules', 'typescript', 'bin', 'tsc');
    const { status, out } = run(project, [process.execPath, tsc, '-p', '.']);
    report(`tsc --strict of TypeScript ${version}`, status === 0, out);
  }
}

function example(name: string, args: readonly string[], expected: readonly string[]): void {
  const { status, out } = run(project, [process.execPath, `out/${name}.js`, ...args]);
  const isLeftOut = status === LACKS && !MUST;
  const missing = expected.filter((text) => !out.includes(text));
  if (isLeftOut) process.stdout.write(`  left out: ${name}: ${out.trim()}\n`);
  else {
    const hint = missing.length === 0 ? '' : `\nmissing: ${missing.join(' | ')}`;
    report(`run ${name}`, status === 0 && missing.length === 0, `${out}${hint}`);
  }
}

function launcherArguments(): string[] | undefined {
  try {
    findQemu();
    const kernel = findKernel();
    const base = buildInitramfs(kernel, findBusybox());
    const serve = `mkdir /tmp/www; echo '${HELLO}' >/tmp/www/index.html; httpd -p 80 -h /tmp/www; sleep 300`;
    const steps = [leaseStep(), { name: 'serve', script: serve }];
    const initrd = join(dir, 'initrd');
    writeFileSync(initrd, Buffer.concat([base, stepsArchive(steps, base.length, kernel)]));
    return [kernel.image, initrd];
  } catch (error) {
    if (!(error instanceof VmUnavailableError) || MUST) throw error;
    process.stdout.write(`  left out: launcher: ${error.message}\n`);
    return undefined;
  }
}

/** What is loaded of the bundle must not need the package: it is started elsewhere. */
async function bundle(format: 'esm' | 'cjs'): Promise<void> {
  const away = join(dir, `bundle-${format}`);
  mkdirSync(away);
  const outfile = join(away, format === 'esm' ? 'launcher.mjs' : 'launcher.cjs');
  const { warnings } = await build({
    stdin: { contents: SMOKE, resolveDir: project, loader: 'ts' },
    bundle: true,
    platform: 'node',
    format,
    outfile,
    logLevel: 'silent',
    ...(format === 'esm' ? { banner: { js: REQUIRE_BANNER } } : {}),
  });
  const { status, out } = run(away, [process.execPath, outfile, join(away, 'api.sock')]);
  const ok = status === 0 && out.startsWith('1 1 unix: function');
  const warned = warnings.map(({ text }) => text).join('\n');
  report(`run a bundle, ${format}`, ok, `${out}${warned}`);
}

/** Packages that are CommonJS call `require` for Node's modules; esbuild's ESM output has none of its own. */
const REQUIRE_BANNER =
  "import { createRequire as _createRequire } from 'node:module'; const require = _createRequire(import.meta.url);";

install(pack());
compile();
example(
  'bare-stack',
  [],
  ['gateway: received "hello"', 'guest: received "HELLO"', 'closed, finished'],
);
const hello = 'cat </dev/tcp/192.168.127.1/8000; getent hosts gateway.hawser.internal || true';
example('sandbox', ['bash', '-c', hello], ['hello 192.168.127.2']);
example(
  'allow-list',
  [],
  [
    ...['hello\n  allowed', 'ready for query\n  allowed', '  denied, status 6, '],
    ...['opened api.example port 80: allow api.example:80/tcp', 'opened db.example port 5432'],
    ...['blocked dns evil.example', 'blocked tcp api.example port 8080: default: deny'],
  ],
);
example('invented-service', [], ['GET /token: the secret of this sandbox']);
const machine = launcherArguments();
if (machine !== undefined) {
  const wanted = [
    'as expected: mtu must be',
    'attached',
    'lease of 192.168.127.2 granted',
    HELLO,
    'HTTP/1.',
  ];
  example('launcher', machine, wanted);
}
await bundle('esm');
await bundle('cjs');
process.exitCode = failures === 0 ? 0 : 1;
