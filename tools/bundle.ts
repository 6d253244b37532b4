/**
 * The programs as users start them: esbuild joins `dist/src` and the packages it uses, since finding, reading and
 * linking one file for each module takes Node longer than all else that `hawser run` does until it is ready.
 *
 * - `dist/bin`: what hawser starts, itself included. They share files; what is imported with `import()` stays in a
 *   file that is read when it is called for.
 * - `dist/hawser-agent.mjs`: one file that runs with Node alone, to be copied into a guest.
 *
 * Not minified, and with source maps, so that stack traces can be read.
 */
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type BuildOptions, build } from 'esbuild';

const BIN = 'dist/bin';
const CLI = 'dist/src/cli';

const { version } = JSON.parse(readFileSync('package.json', 'utf8'));

const COMMON: BuildOptions = {
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  external: ['koffi', 'node-vsock'], // native, and optional
  define: { HAWSER_VERSION: JSON.stringify(version) },
  sourcesContent: false,
  logLevel: 'warning',
};

await build({
  ...COMMON,
  entryPoints: [`${CLI}/agent/main.js`],
  outfile: 'dist/hawser-agent.mjs',
});

const { metafile } = await build({
  ...COMMON,
  entryPoints: {
    hawser: `${CLI}/main.js`,
    'docker-proxy': `${CLI}/docker-proxy/main.js`,
    'file-server-worker': `${CLI}/demo/file-server-worker.js`,
    'guest-commands': `${CLI}/demo/guest/guest-commands.js`,
    'dhcp-probe': `${CLI}/demo/guest/dhcp-probe.js`,
    'packet-holder': `${CLI}/demo/guest/packet-holder.js`,
  },
  outdir: BIN,
  splitting: true,
  // Packages that are CommonJS ask for Node's modules with `require`, which an ES module has not.
  banner: {
    js: "import { createRequire as requireFor } from 'node:module'; const require = requireFor(import.meta.url);",
  },
  sourcemap: true,
  metafile: true,
});

// A file that hawser looks for must be there: `distFile('bin/x.js')`.
const made = new Set(Object.keys(metafile.outputs).map((path) => basename(path)));
for (const name of made) {
  if (!name.endsWith('.js')) continue;
  const text = readFileSync(join(BIN, name), 'utf8');
  for (const [call, program = ''] of text.matchAll(/distFile\("bin\/([^"]+)"\)/g)) {
    if (!made.has(program)) throw new Error(`${name}: ${call}: name ${program} as an entry point`);
  }
}

// Names carry a hash: the last build's are other files. They go last, so that a program finds its files meanwhile.
for (const name of readdirSync(BIN)) if (!made.has(name)) rmSync(join(BIN, name));
