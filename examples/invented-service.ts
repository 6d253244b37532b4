/**
 * A service that is nowhere: a name that this program makes up, at an address that nobody has, answered from a Duplex. A
 * command in a network namespace finds an HTTP server there, and nothing else anywhere.
 *
 *     sudo node invented-service.js [COMMAND [ARGUMENTS]]
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Duplex, duplexPair } from 'node:stream';
import { createNetwork, LinkError, NativeUnavailableError } from 'hawser';

const NAMESPACE = `hawser-invented-${process.pid}`;
const TAP = 'eth0';
const NAME = 'secrets.example';

const [command = 'curl', ...args] = process.argv.slice(2);
if (process.platform !== 'linux' || process.getuid?.() !== 0) {
  console.error('a sandbox needs Linux, and root to make a network namespace');
  process.exit(2);
}
if (spawnSync('ip', ['-V']).error !== undefined || spawnSync(command, ['--version']).error) {
  console.error(`cannot run ip, or ${command}: install iproute2 and ${command}`);
  process.exit(2);
}

function ip(...words: readonly string[]): void {
  const { status, stderr } = spawnSync('ip', words, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${words.join(' ')}: ${stderr.trim()}`);
}
const inside = (...words: readonly string[]): void => ip('-n', NAMESPACE, ...words);

const dir = mkdtempSync(join(tmpdir(), 'hawser-invented-'));
ip('netns', 'add', NAMESPACE);
process.on('exit', () => {
  spawnSync('ip', ['netns', 'del', NAMESPACE]);
  rmSync(dir, { recursive: true, force: true });
});

// It listens nowhere: connections are brought to it.
const secrets = createServer(({ method, url }, response) => {
  response.end(`${method} ${url}: the secret of this sandbox\n`);
});

function connectionTo(server: typeof secrets): Duplex {
  const [ours, theirs] = duplexPair();
  server.emit('connection', theirs);
  return ours;
}

const network = await open();
inside('address', 'add', '192.168.127.2/24', 'dev', TAP);
inside('link', 'set', 'lo', 'up');
inside('link', 'set', TAP, 'up');
inside('route', 'add', 'default', 'via', network.view.info().gateway);
writeFileSync(join(dir, 'resolv.conf'), `nameserver ${network.view.info().gateway}\n`);
writeFileSync(join(dir, 'nsswitch.conf'), 'hosts: files dns\n');

const words = args.length > 0 ? args : ['-sS', '-m', '5', `http://${NAME}/token`];
const mounts = ['resolv.conf', 'nsswitch.conf']
  .map((name) => `mount --bind ${join(dir, name)} /etc/${name}`)
  .join(' && ');
const enter = ['netns', 'exec', NAMESPACE, 'sh', '-c', `${mounts} && exec "$@"`, 'sh'];
const child = spawn('ip', [...enter, command, ...words], { stdio: 'inherit' });
const [status] = await once(child, 'exit');
await network.close();
process.exitCode = Number(status ?? 1);

async function open() {
  try {
    return await createNetwork({
      listen: `tap:${TAP}@${NAMESPACE}`,
      onDns: ({ name }) => (name === NAME ? ['198.51.100.1'] : 'deny'),
      onFlow: ({ name, protocol, remotePort }) =>
        protocol === 'tcp' && name === NAME && remotePort === 80 ? connectionTo(secrets) : 'deny',
    });
  } catch (error) {
    if (error instanceof NativeUnavailableError || error instanceof LinkError) {
      console.error(error.message);
      process.exit(2);
    }
    throw error;
  }
}
