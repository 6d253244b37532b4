/**
 * What the guest runs inside its namespace: `node guest-commands.js COMMAND ...`, with the sockets of the
 * guest's kernel. The host fetches through published ports by the same commands. One JSON object a line on stdout:
 * `{"progress": BYTES}`, then `{"done": {...}}`, `{"error": "..."}`, or `{"leftOut": "..."}` for what cannot be tried.
 *
 * | command | done |
 * |---|---|
 * | `download URL` | `bytes`, `sha256`, `ms` |
 * | `upload URL SEED BYTES` | `bytes`, `sha256` as the server counted them, `ms` |
 * | `resolve NAME SERVER` | `address` |
 * | `resolve-ipv6 NAME SERVER` | `address` |
 * | `ipv6 INTERFACE GATEWAY` | `address` in the gateway's network |
 * | `ping ADDRESS` | `ms`, the mean of some |
 * | `serve PORT` | once the file server listens; it stays until it is killed |
 */
import { createHash } from 'node:crypto';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { get, type IncomingMessage, request } from 'node:http';
import { startFileServer } from '../file-server.ts';
import { SeededStream } from '../seeded-stream.ts';
import { LeftOutError } from '../step-report.ts';
import { ownIpv6 } from './own-ipv6.ts';
import { ping } from './ping.ts';

const PROGRESS_EVERY_MS = 100;

const say = (what: object): void => {
  process.stdout.write(`${JSON.stringify(what)}\n`);
};

/** Says at most one number in {@link PROGRESS_EVERY_MS}. */
function progress(): (bytes: number) => void {
  let last = performance.now();
  return (bytes) => {
    const now = performance.now();
    if (now - last < PROGRESS_EVERY_MS) return;
    last = now;
    say({ progress: bytes });
  };
}

async function download(url: string): Promise<object> {
  const begin = performance.now();
  const report = progress();
  const hash = createHash('sha256');
  let bytes = 0;
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get(url, { agent: false }, resolve).once('error', reject);
  });
  if (response.statusCode !== 200) throw new Error(`${url} answered ${response.statusCode}`);
  for await (const chunk of response) {
    hash.update(chunk);
    bytes += chunk.length;
    report(bytes);
  }
  const ms = performance.now() - begin;
  return { bytes, sha256: hash.digest('hex'), ms };
}

async function upload(url: string, seed: number, sizeBytes: number): Promise<object> {
  const stream = new SeededStream(seed, sizeBytes);
  const begin = performance.now();
  const report = progress();
  const post = request(url, {
    agent: false,
    method: 'POST',
    headers: { 'content-length': sizeBytes },
  });
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    post.once('response', resolve);
    post.once('error', reject);
  });
  const sent = send(post, stream, report);
  const [response] = await Promise.all([answered, sent]);
  let text = '';
  for await (const chunk of response) text += chunk;
  const ms = performance.now() - begin;
  const [, bytes, sha256] = /^bytes=(\d+) sha256=(\w+)/.exec(text) ?? [];
  if (bytes === undefined) throw new Error(`${url} answered ${text.slice(0, 80)}`);
  return { bytes: Number(bytes), sha256, ms };
}

async function send(
  post: ReturnType<typeof request>,
  stream: SeededStream,
  report: (bytes: number) => void,
): Promise<void> {
  let sent = 0;
  for (let bytes = stream.next(); bytes !== undefined; bytes = stream.next()) {
    sent += bytes.length;
    if (!post.write(bytes)) await once(post, 'drain');
    report(sent);
  }
  post.end();
}

async function resolveName(name: string, server: string, type: 'A' | 'AAAA'): Promise<object> {
  const resolver = new Resolver({ timeout: 3000, tries: 2 });
  resolver.setServers([server]);
  const [address] = await (type === 'A' ? resolver.resolve4(name) : resolver.resolve6(name));
  return { address };
}

const pingAddress = async (address: string): Promise<object> => ({ ms: await ping(address) });

async function serve(port: number): Promise<object> {
  await startFileServer(undefined, port, 'guest');
  return {};
}

function run([command, ...args]: readonly string[]): Promise<object> {
  const [first = '', second = '', third = ''] = args;
  if (command === 'download') return download(first);
  if (command === 'upload') return upload(first, Number(second), Number(third));
  if (command === 'resolve') return resolveName(first, second, 'A');
  if (command === 'resolve-ipv6') return resolveName(first, second, 'AAAA');
  if (command === 'ipv6') return ownIpv6(first, second).then((address) => ({ address }));
  if (command === 'ping') return pingAddress(first);
  if (command === 'serve') return serve(Number(first));
  return Promise.reject(new Error(`unknown command ${command}`));
}

run(process.argv.slice(2)).then(
  (done) => {
    say({ done });
  },
  (error: unknown) => {
    const message = error instanceof Error ? error.message : String(error);
    say(error instanceof LeftOutError ? { leftOut: message } : { error: message });
    process.exitCode = 1;
  },
);
