/**
 * The programs as users start them: esbuild joins `dist/src` and the packages it uses, since finding, reading and
 * linking one file for each module takes Node longer than all else that `hawser run` does until it is ready.
 *
 * - `dist/bin`: what hawser starts, itself included: a file each. `hawser` is started most, and in front of people,
 *   so that it has code caches too, and is three programs: see `src/cli/boot`. Those that stand in for other programs are
 *   the same under other names.
 * - `dist/hawser-agent.mjs`: one file that runs with Node alone, to be copied into a guest;
 *   `dist/hawser-agent-kubernetes.mjs` beside it where it is to watch a cluster.
 * - `dist/lib`: what programs import, and the parts that it shares. Node opens the files of a module graph as fast as it learns
 *   of them: 200 of `dist/src` at once, more than some limits of open files allow. Packages stay packages, but for zod, which is
 *   a hundred files.
 *
 * Each begins with what takes SIGUSR1: Node's own answer to it is to open a debugger on a port of the loopback, which
 * guests reach. Those that stay take SIGHUP there too: whoever sends it to all daemons ends none that is about to start.
 *
 * With names as they are, and source maps, so that stack traces can be read. The three are without white space: each
 * byte of a program is memory that its start has to touch, twice.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type BuildOptions, build, type Plugin } from 'esbuild';
import { LATE_PACKAGES } from '../src/cli/boot/kept-packages.ts';
import { cachePath } from '../src/cli/boot/program-file.ts';
import { DAEMON, FIRST_START, MAIN } from '../src/cli/boot/program-for.ts';

const BIN = 'dist/bin';
const LIB = 'dist/lib';
const CLI = 'dist/src/cli';
const LAB = 'dist/src/lab';

const { version, dependencies } = JSON.parse(readFileSync('package.json', 'utf8'));

const TAKE_SIGUSR1 = "process.on('SIGUSR1', () => {});";
const DAEMONS_TAKE_SIGHUP =
  "if (['run', 'agent', 'usernet'].includes(process.argv[2])) process.on('SIGHUP', () => {});";
const TAKE_SIGHUP = "process.on('SIGHUP', () => {});";

const COMMON: BuildOptions = {
  bundle: true,
  platform: 'node',
  target: 'node20',
  external: ['koffi', 'node-vsock'], // native, and optional
  define: { HAWSER_VERSION: JSON.stringify(version) },
  sourcesContent: false,
  logLevel: 'warning',
};

rmSync(LIB, { recursive: true, force: true }); // names of parts change with their contents
await build({
  ...COMMON,
  format: 'esm',
  external: [
    ...(COMMON.external ?? []),
    ...Object.keys(dependencies).filter((name) => name !== 'zod'),
  ],
  splitting: true,
  outdir: LIB,
  entryPoints: {
    index: 'dist/src/index.js',
    stack: 'dist/src/stack/index.js',
    mux: 'dist/src/mux/index.js',
  },
});

/** CommonJS, as Node loads an ES module 20 ms later. It has no `import.meta`. */
const PROGRAM: BuildOptions = {
  ...COMMON,
  format: 'cjs',
  outdir: BIN,
  sourcemap: true,
  define: { ...COMMON.define, 'import.meta.url': 'importMetaUrl' },
};
const IMPORT_META_URL = "const importMetaUrl = require('node:url').pathToFileURL(__filename).href;";

for (const name of [MAIN, DAEMON, FIRST_START]) {
  rmSync(cachePath(join(BIN, `${name}.js`)), { force: true }); // of what is overwritten now
}

await build({
  ...COMMON,
  format: 'esm',
  entryPoints: [`${CLI}/agent/main.js`],
  outfile: 'dist/hawser-agent.mjs',
  banner: { js: `${TAKE_SIGUSR1} ${TAKE_SIGHUP}` },
});

/** A docker-proxy starts for each published port, and few are of UDP: what those need is a file of its own. */
const UDP_APART: Plugin = {
  name: 'udp-apart',
  setup({ onResolve }) {
    onResolve({ filter: /\/udp-forwarder\.js$/ }, ({ kind }) =>
      kind === 'dynamic-import' ? { path: './docker-proxy-udp.js', external: true } : undefined,
    );
  },
};

const programs = {
  hawser: `${CLI}/boot/start.js`,
  'tap-tools': `${CLI}/tap/opener.js`,
  'docker-proxy': `${CLI}/docker-proxy/main.js`,
  'docker-proxy-udp': `${CLI}/docker-proxy/udp-forwarder.js`,
  'file-server-worker': `${LAB}/file-server-worker.js`,
  'guest-commands': `${LAB}/guest/guest-commands.js`,
  'dhcp-probe': `${LAB}/guest/dhcp-probe.js`,
  'packet-holder': `${LAB}/guest/packet-holder.js`,
};
await build({
  ...PROGRAM,
  entryPoints: programs,
  plugins: [UDP_APART],
  banner: { js: `${TAKE_SIGUSR1} ${DAEMONS_TAKE_SIGHUP} ${IMPORT_META_URL}` },
});
/** Each is a daemon, whatever its arguments. */
const dropIns = Object.fromEntries(
  ['gvproxy', 'pasta', 'slirp4netns', 'vpnkit'].map((name) => [`hawser-${name}`, programs.hawser]),
);
await build({
  ...PROGRAM,
  entryPoints: dropIns,
  banner: { js: `${TAKE_SIGUSR1} ${TAKE_SIGHUP} ${IMPORT_META_URL}` },
});
/** Never come to: what those imports are is not in the program. */
const without = (isLeftOut: (path: string) => boolean): Plugin => ({
  name: 'without',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^\.{1,2}\// }, ({ path, kind }) =>
      kind === 'dynamic-import' && isLeftOut(path) ? { path, namespace: 'left-out' } : undefined,
    );
    onLoad({ filter: /^/, namespace: 'left-out' }, ({ path }) => ({
      contents: `throw new Error(${JSON.stringify(`${path} is not in this program`)});`,
    }));
  },
});
/** Commands that end, and the agent: of `hawser.js` alone. */
const ofOthers = (path: string): boolean =>
  /\/commands\/(?!run|serve)|\/completion\.js$/.test(path);
/** What only the second start comes to, and programs that have no first one of their own. */
const ofDaemon = (path: string): boolean =>
  ofOthers(path) || /\/serve\.js$|\/(pasta|slirp4netns|vpnkit|usernet)\.js$/.test(path);
const FIRST_ENTERS: Plugin = {
  name: 'first-enters',
  setup({ onResolve }) {
    onResolve({ filter: /\/enter\.js$/ }, () => ({
      path: resolve(`${CLI}/sandbox/enter-first.js`),
    }));
  },
};

/** Packages that few starts read, a file each; what they are for is imported where it is used. */
const APART = [
  'cli-progress',
  'cli-table3',
  'pino-pretty',
  'prom-client',
  're2js',
  'tldts',
  'ws',
  'yaml',
];
for (const name of LATE_PACKAGES) {
  if (!APART.includes(name)) throw new Error(`${name} is not apart`);
}
const PACKAGES_APART: Plugin = {
  name: 'packages-apart',
  setup({ onResolve }) {
    const filter = new RegExp(`^(${APART.join('|')})$`);
    onResolve({ filter }, ({ path }) => ({ path: `./${path}.js`, external: true }));
  },
};
await build({ ...PROGRAM, entryPoints: APART.map((name) => ({ in: name, out: name })) });

const CACHED = {
  [MAIN]: [PACKAGES_APART],
  [DAEMON]: [PACKAGES_APART, without(ofOthers)],
  [FIRST_START]: [PACKAGES_APART, without(ofDaemon), FIRST_ENTERS],
};
for (const [name, plugins] of Object.entries(CACHED)) {
  await build({
    ...PROGRAM,
    entryPoints: { [name]: `${CLI}/main.js` },
    plugins,
    supported: { 'dynamic-import': false }, // of what is apart: see `importFile`
    minifyWhitespace: true,
    lineLimit: 200,
    banner: {
      js: `(function (require, __filename, importFile, HAWSER_START) { ${IMPORT_META_URL}`,
    },
    footer: { js: '})' },
  });
}
/** The SSH library, which few daemons read: our part of it, and the packages that it needs. */
const SSH: BuildOptions = {
  ...PROGRAM,
  entryPoints: { 'ssh-client': 'dist/src/proxy/ssh/ssh-client.js' },
  external: [...(COMMON.external ?? []), 'cpu-features', '*.node'], // optional: it does without
};
/** The client for Kubernetes, which few agents read, and the packages that it needs. */
const KUBERNETES: BuildOptions = {
  ...COMMON,
  format: 'esm',
  entryPoints: [`${CLI}/agent/kubernetes/cluster-client.js`],
  outfile: 'dist/hawser-agent-kubernetes.mjs',
};
const REQUIRE =
  "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);";
await buildWithLicences(SSH);
await buildWithLicences(KUBERNETES, REQUIRE);
writeFileSync(join(BIN, 'package.json'), '{ "type": "commonjs" }\n');

const made = new Set(['package.json']);
for (const name of [...Object.keys({ ...programs, ...dropIns, ...CACHED }), ...APART, 'ssh-client'])
  made.add(`${name}.js`).add(`${name}.js.map`);

// A file that hawser looks for must be there: `distFile('bin/x.js')`.
for (const name of made) {
  if (!name.endsWith('.js')) continue;
  const text = readFileSync(join(BIN, name), 'utf8');
  for (const [call, program = ''] of text.matchAll(/distFile\("bin\/([^"]+)"\)/g)) {
    if (!made.has(program)) throw new Error(`${name}: ${call}: name ${program} as an entry point`);
  }
}
for (const name of readdirSync(BIN)) if (!made.has(name)) rmSync(join(BIN, name)); // of an earlier build

await import('./man-pages.ts');

for (const name of Object.keys(CACHED)) {
  const tool = ['dist/tools/code-cache.js', join(BIN, `${name}.js`)];
  const cached = spawnSync(process.execPath, tool, { stdio: ['ignore', 'ignore', 'inherit'] });
  if (cached.status !== 0) throw new Error(`the code cache was not made: status ${cached.status}`);
}

/** Packages that are part of a file, and no dependencies of ours, ask for their licences there. */
async function buildWithLicences(options: BuildOptions, banner = ''): Promise<void> {
  const { metafile } = await build({ ...options, metafile: true, write: false });
  const inputs = Object.values(metafile?.outputs ?? {}).flatMap(({ inputs: all }) =>
    Object.entries(all).flatMap(([file, { bytesInOutput }]) => (bytesInOutput > 0 ? [file] : [])),
  );
  const packages = inputs.flatMap(
    (file) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0] ?? [],
  );
  const texts = [...new Set(packages)].toSorted().map(licenceOf);
  await build({ ...options, banner: { js: [banner, ...texts].join('\n') } });
}

function licenceOf(folder: string): string {
  const { name, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const file = readdirSync(folder).find((one) => /^licen[cs]e/i.test(one));
  const text =
    file === undefined ? `License: ${license}` : readFileSync(join(folder, file), 'utf8');
  return `/*\n${name}\n\n${text.replaceAll('*/', '* /').trim()}\n*/`;
}
