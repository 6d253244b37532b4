/**
 * A sandbox: a command in a network namespace of its own, whose only way out is hawser. It reaches the world as this
 * process does, and the host's loopback at 192.168.127.254.
 *
 *     sudo node sandbox.js COMMAND [ARGUMENTS]
 */
import { spawn, spawnSync } from 'node:child_process';
import { createNetwork, LinkError, NativeUnavailableError } from 'hawser';

const NAMESPACE = `hawser-sandbox-${process.pid}`;
const TAP = 'eth0';

const [command, ...args] = process.argv.slice(2);
if (command === undefined) {
  console.error('usage: sandbox COMMAND [ARGUMENTS]');
  process.exit(2);
}
if (process.platform !== 'linux' || process.getuid?.() !== 0) {
  console.error('a sandbox needs Linux, and root to make a network namespace');
  process.exit(2);
}

function ip(...words: readonly string[]): void {
  const { status, error, stderr } = spawnSync('ip', words, { encoding: 'utf8' });
  if (error !== undefined) {
    console.error(`cannot run ip: ${error.message}; install iproute2`);
    process.exit(2);
  }
  if (status !== 0) throw new Error(`ip ${words.join(' ')}: ${stderr.trim()}`);
}
const inside = (...words: readonly string[]): void => ip('-n', NAMESPACE, ...words);

ip('netns', 'add', NAMESPACE);
process.on('exit', () => spawnSync('ip', ['netns', 'del', NAMESPACE]));

const network = await open();
const { gateway } = network.view.info();
inside('address', 'add', '192.168.127.2/24', 'dev', TAP);
inside('link', 'set', 'lo', 'up');
inside('link', 'set', TAP, 'up');
inside('route', 'add', 'default', 'via', gateway);

// A server that only the sandbox reaches, in this process.
const server = network.listen({ port: 8000 });
void (async () => {
  for await (const connection of server) {
    connection.on('error', () => {});
    connection.end(`hello ${connection.remoteAddress}\n`);
  }
})();

const child = spawn('ip', ['netns', 'exec', NAMESPACE, command, ...args], { stdio: 'inherit' });
const status = await new Promise<number>((resolve) =>
  child.once('exit', (code) => resolve(code ?? 1)),
);
for (const flow of network.view.flows()) {
  console.log(`open still: ${flow.protocol} to ${flow.remoteAddress} port ${flow.remotePort}`);
}
await network.close();
process.exit(status);

async function open() {
  try {
    return await createNetwork({ listen: `tap:${TAP}@${NAMESPACE}` });
  } catch (error) {
    if (error instanceof NativeUnavailableError || error instanceof LinkError) {
      console.error(error.message);
      process.exit(2);
    }
    throw error;
  }
}
