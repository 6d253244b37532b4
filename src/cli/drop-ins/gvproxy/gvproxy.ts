/** `hawser-gvproxy`: the `gvproxy` of gvisor-tap-vsock, as podman machine and scripts start it. */
import { closeSync, constants, existsSync, openSync, readFileSync } from 'node:fs';
import { tcpPlace } from '../../../native/inherited-listeners.ts';
import { messageOf, RunError } from '../../../network/errors.ts';
import { packageVersion } from '../../../network/version.ts';
import { printOutput } from '../../output.ts';
import { realPlace } from '../../runtime-dir.ts';
import type { DropIn, Plan } from '../drop-in.ts';
import { EXIT_GO_USAGE, goUsage, parseGoFlags } from '../go-flags.ts';
import { hasOwnApi } from '../own-api.ts';
import { ownProxy } from '../own-proxy.ts';
import type { GvproxyConfig, GvproxyFile } from './configuration.ts';
import { configure } from './configure.ts';
import { parseEndpoint } from './endpoint.ts';
import { GVPROXY_FLAGS } from './flags.ts';
import { daemonConfig } from './plan.ts';
import { versionText } from './version-text.ts';

const NAME = 'hawser-gvproxy';
/** For launchers with flags of their own. Off by default: the second start of the program takes too long for some. */
const SANDBOX_VARIABLE = 'HAWSER_SANDBOX';

export const GVPROXY: DropIn<GvproxyConfig> = {
  name: NAME,
  pidFileEnd: '',
  plan: planOf,
  sockets: ({ listen, services }) =>
    [...listen, services].flatMap((url) => {
      const endpoint = url === '' ? undefined : parseEndpoint(url);
      if (endpoint?.kind === 'unix') return [endpoint.path];
      return endpoint?.kind === 'tcp' ? [tcpPlace(endpoint.host || '::', endpoint.port)] : [];
    }),
  serve: async (config, network, daemon) => {
    const { serveGvproxy } = await import('./serve.ts');
    await serveGvproxy(config, network, daemon);
  },
};

async function planOf(argv: readonly string[]): Promise<Plan<GvproxyConfig> | number> {
  const parsed = parseGoFlags(argv, GVPROXY_FLAGS);
  if (parsed.kind !== 'values') {
    const problem = parsed.kind === 'bad' ? `${parsed.problem}\n` : '';
    process.stderr.write(`${problem}${goUsage(NAME, GVPROXY_FLAGS)}`);
    return parsed.kind === 'bad' ? EXIT_GO_USAGE : 0;
  }
  const flags = parsed.values;
  if (flags.isTrue('version')) {
    printOutput(`${versionText(packageVersion())}\n`);
    return 0;
  }
  const path = flags.text('config');
  const file = path === '' ? undefined : await readFile(path);
  const config = configure(flags, file, { exists: existsSync });
  if (config.logFile !== '') emptyFile(config.logFile);
  const own = {
    name: `gvproxy-${process.pid}`,
    exitWithGuest: flags.text('exit-with-guest'),
    sandbox: flags.text('sandbox') || process.env[SANDBOX_VARIABLE] || 'off',
    proxy: ownProxy(process.env),
    hasApi: hasOwnApi(process.env),
  };
  return { options: daemonConfig(config, own, realPlace()), dialect: config };
}

/** Each start begins its log anew; what cannot be is reported when the log is opened. */
function emptyFile(path: string): void {
  const { O_NOFOLLOW, O_NONBLOCK, O_TRUNC, O_WRONLY } = constants;
  try {
    closeSync(openSync(path, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_NONBLOCK));
  } catch {
    // It is not there, mostly.
  }
}

async function readFile(path: string): Promise<GvproxyFile> {
  const text = textOf(path);
  const { parseFile } = await import('./file.ts');
  return parseFile(text, path);
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new RunError(`failed to read config file: ${messageOf(error)}`, { cause: error });
  }
}
