/**
 * The programs as users start them, in `dist/bin`: esbuild joins `dist/src` and the packages it uses into a few
 * files, since finding, reading and linking one for each module takes Node longer than all else that
 * `hawser run` does until it is ready. What is imported with `import()` stays in a file that is read when it is called for.
 *
 * All files are in one folder, so that `new URL('./x.js', import.meta.url)` finds a program that is started as a
 * process or thread from whichever file the line has come to be in: such programs are named here as
 * they are named there. Not minified, and with source maps, so that stack traces can be read.
 */
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { build } from 'esbuild';

const OUT = 'dist/bin';
const CLI = 'dist/src/cli';

const { version } = JSON.parse(readFileSync('package.json', 'utf8'));

const { metafile } = await build({
  entryPoints: {
    hawser: `${CLI}/main.js`,
    'docker-proxy': `${CLI}/docker-proxy/main.js`,
    'file-server-worker': `${CLI}/demo/file-server-worker.js`,
    agent: `${CLI}/demo/guest/agent.js`,
    'dhcp-probe': `${CLI}/demo/guest/dhcp-probe.js`,
    'packet-holder': `${CLI}/demo/guest/packet-holder.js`,
  },
  outdir: OUT,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  external: ['koffi', 'node-vsock'], // native, and optional
  define: { HAWSER_VERSION: JSON.stringify(version) },
  // Packages that are CommonJS ask for Node's modules with `require`, which an ES module has not.
  banner: {
    js: "import { createRequire as requireFor } from 'node:module'; const require = requireFor(import.meta.url);",
  },
  sourcemap: true,
  sourcesContent: false,
  metafile: true,
  logLevel: 'warning',
});

const made = new Set(Object.keys(metafile.outputs).map((path) => basename(path)));

// A program that is started from beside its caller must be an entry point.
for (const name of made) {
  if (!name.endsWith('.js')) continue;
  const text = readFileSync(join(OUT, name), 'utf8');
  for (const [line, program = ''] of text.matchAll(
    /new URL\("\.\/([^"]+)", import\.meta\.url\)/g,
  )) {
    if (!made.has(program)) throw new Error(`${name}: ${line}: name ${program} as an entry point`);
  }
}

// Names carry a hash: the last build's are other files. They go last, so that a program finds its files meanwhile.
for (const name of readdirSync(OUT)) if (!made.has(name)) rmSync(join(OUT, name));
