/**
 * An allow-list: commands in a network namespace of their own reach two names, and nothing else; an audit log has what
 * they did and what they tried. The names' servers are in this process, so that no Internet is needed: your program
 * leaves `onDns` and `onFlow` out.
 *
 *     sudo node allow-list.js
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNetwork, LinkError, NativeUnavailableError } from 'hawser';

const NAMESPACE = `hawser-allow-list-${process.pid}`;
const TAP = 'eth0';
const ADDRESSES: Readonly<Record<string, string>> = {
  'api.example': '198.51.100.1',
  'db.example': '198.51.100.2',
};

if (process.platform !== 'linux' || process.getuid?.() !== 0) {
  console.error('a sandbox needs Linux, and root to make a network namespace');
  process.exit(2);
}
for (const program of ['ip', 'curl', 'bash']) {
  if (spawnSync(program, ['--version']).error === undefined) continue;
  console.error(`cannot run ${program}: install it`);
  process.exit(2);
}

function ip(...words: readonly string[]): void {
  const { status, stderr } = spawnSync('ip', words, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${words.join(' ')}: ${stderr.trim()}`);
}
const inside = (...words: readonly string[]): void => ip('-n', NAMESPACE, ...words);

const dir = mkdtempSync(join(tmpdir(), 'hawser-allow-list-'));
ip('netns', 'add', NAMESPACE);
process.on('exit', () => {
  spawnSync('ip', ['netns', 'del', NAMESPACE]);
  rmSync(dir, { recursive: true, force: true });
});

const api = await listening(createHttpServer((_request, response) => response.end('hello\n')));
// Speaks a protocol of its own, as databases do: the client begins.
const database = await listening(
  createServer((client) => {
    client.on('error', () => {});
    client.once('data', () => client.end('ready for query\n'));
  }),
);

const auditLog = join(dir, 'audit.log');
const network = await open();
const { gateway } = network.view.info();
inside('address', 'add', '192.168.127.2/24', 'dev', TAP);
inside('link', 'set', 'lo', 'up');
inside('link', 'set', TAP, 'up');
inside('route', 'add', 'default', 'via', gateway);
writeFileSync(join(dir, 'resolv.conf'), `nameserver ${gateway}\noptions timeout:1 attempts:2\n`);
writeFileSync(join(dir, 'nsswitch.conf'), 'hosts: files dns\n');

await sandboxed('curl', '-sS', '-m', '5', 'http://api.example/');
await sandboxed('bash', '-c', 'exec 3<>/dev/tcp/db.example/5432; echo startup >&3; cat <&3');
await sandboxed('curl', '-sS', '-m', '5', 'http://evil.example/');
await sandboxed('curl', '-sS', '-m', '5', 'http://198.51.100.1:8080/');
await network.close();

console.log('audit log:');
for (const line of readFileSync(auditLog, 'utf8').trim().split('\n')) {
  const { type, kind, flow, block } = JSON.parse(line);
  if (type === 'flow') console.log(`  ${kind} ${flow.name} port ${flow.remotePort}: ${flow.rule}`);
  if (type !== 'block') continue;
  const to = block.name ?? block.remoteAddress;
  console.log(`  ${kind} ${block.protocol} ${to} port ${block.remotePort}: ${block.rule}`);
}
for (const server of [api, database]) server.close();

async function open() {
  try {
    return await createNetwork({
      listen: `tap:${TAP}@${NAMESPACE}`,
      allow: ['api.example:80/tcp', 'db.example:5432/tcp'],
      auditLog,
      audit: 'required',
      onDns: ({ name }) => [ADDRESSES[name] ?? []].flat(),
      onFlow: ({ remotePort }) => {
        const { port } = (remotePort === 80 ? api : database).address() as AddressInfo;
        return { redirect: `127.0.0.1:${port}` };
      },
    });
  } catch (error) {
    if (error instanceof NativeUnavailableError || error instanceof LinkError) {
      console.error(error.message);
      process.exit(2);
    }
    throw error;
  }
}

async function listening<S extends Server>(server: S): Promise<S> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** `ip netns exec` has mounts of its own: the resolver's files are replaced for this command alone. */
async function sandboxed(...command: readonly string[]): Promise<void> {
  const mounts = ['resolv.conf', 'nsswitch.conf']
    .map((name) => `mount --bind ${join(dir, name)} /etc/${name}`)
    .join(' && ');
  console.log(`$ ${command.join(' ')}`);
  const words = ['netns', 'exec', NAMESPACE, 'sh', '-c', `${mounts} && exec "$@"`, 'sh'];
  const began = performance.now();
  const child = spawn('ip', [...words, ...command], { stdio: ['ignore', 'inherit', 'inherit'] });
  const [status] = await once(child, 'exit');
  const ms = Math.round(performance.now() - began);
  console.log(status === 0 ? '  allowed' : `  denied, status ${status}, ${ms} ms with its start`);
}
