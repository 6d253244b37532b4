/**
 * Code that runs inside of a daemon under test: Node loads a module that answers on a Unix socket, in its second start if
 * it has two, so that what the process may do is tried by the process itself.
 */
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';

const NEWLINE = '\n';

/** @returns the environment of the daemon @param dir where the module and its socket are */
export function withInside(dir: string): Record<string, string> {
  const main = fileURLToPath(new URL('../../../../package.json', import.meta.url));
  const module = `${dir}/inside.cjs`;
  writeFileSync(
    module,
    `const fs = require('node:fs');
const packages = require('node:module').createRequire(${JSON.stringify(main)});
if (process.env.HAWSER_SECOND_START !== undefined || process.argv.includes('off')) {
  const run = async (code) => {
    try {
      return { value: await new Function('require', 'return (async () => {' + code + '})()')(packages) };
    } catch (error) {
      return { code: error.code ?? String(error) };
    }
  };
  require('node:net')
    .createServer((socket) => {
      let text = '';
      socket.on('data', async (chunk) => {
        text += chunk;
        if (!text.endsWith('\\n')) return;
        socket.end(JSON.stringify(await run(JSON.parse(text))));
      });
    })
    .listen(${JSON.stringify(nameIn(dir))})
    .unref();
}
`,
  );
  return { NODE_OPTIONS: `--require=${module}` };
}

export interface Outcome {
  readonly value?: unknown;
  /** Of the error that it threw. */
  readonly code?: string;
}

/** @param code the body of an async function @returns undefined when the daemon ended meanwhile */
export function inside(dir: string, code: string): Promise<Outcome | undefined> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect(nameIn(dir), () => {
      socket.write(JSON.stringify(code) + NEWLINE);
    });
    socket.setEncoding('utf8');
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(text === '' ? undefined : JSON.parse(text)));
  });
}

/** Abstract: a sandbox of files has no say. */
const nameIn = (dir: string): string => `\0${dir}/inside`;
