/** `vsock:` links over a package of node-vsock's name, found as an installed one is. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const AGENT = fileURLToPath(new URL('../../../src/cli/agent/main.js', import.meta.url));
const STAND_IN = fileURLToPath(new URL('../../support/node-vsock-stand-in.js', import.meta.url));
const PORT = 4099;
const SIZE = 8 << 20;

describe('vsock links by node-vsock', () => {
  let dir: string;
  let echo: Server;
  let forwarded: string;
  const sockets = new Set<Socket>();
  const agents: ChildProcess[] = [];

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-node-vsock-'));
    const installed = join(dir, 'node_modules/node-vsock');
    mkdirSync(installed, { recursive: true });
    writeFileSync(join(installed, 'index.js'), `module.exports = require('${STAND_IN}');\n`);
    forwarded = join(dir, 'forwarded');
    echo = createServer({ allowHalfOpen: true }, (socket) => {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.pipe(socket);
    });
    echo.listen(join(dir, 'echo'));
    await once(echo, 'listening');
  });
  afterEach(async () => {
    await Promise.all(agents.splice(0).map((agent) => kill(agent)));
    for (const socket of sockets) socket.destroy();
    sockets.clear();
    echo.close();
    rmSync(dir, { recursive: true });
  });

  const kill = async (
    agent: ChildProcess,
    signal: NodeJS.Signals = 'SIGKILL',
  ): Promise<unknown> => {
    if (agent.exitCode !== null || agent.signalCode !== null) return agent.exitCode;
    agent.kill(signal);
    const [status] = await once(agent, 'exit');
    return status;
  };
  /** Resolves when it has said `sign`. */
  const start = async (sign: RegExp, ...args: string[]): Promise<ChildProcess> => {
    const env = { ...process.env, NODE_PATH: join(dir, 'node_modules'), STAND_IN_DIR: dir };
    const agent = spawn(process.execPath, [AGENT, ...args], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    agents.push(agent);
    await says(agent, sign);
    return agent;
  };
  const says = (agent: ChildProcess, sign: RegExp): Promise<void> =>
    new Promise((resolve, reject) => {
      let said = '';
      for (const stream of [agent.stdout, agent.stderr]) {
        stream?.on('data', (chunk) => {
          said += chunk;
          if (sign.test(said)) resolve();
        });
      }
      agent.once('exit', (status) => reject(new Error(`ended with ${status}: ${said}`)));
    });
  const listening = (): Promise<ChildProcess> => start(/agent ready/, '--listen', `vsock:${PORT}`);
  const connecting = (sign: RegExp): Promise<ChildProcess> => {
    const forward = `unix:${forwarded}=unix:${join(dir, 'echo')}`;
    return start(sign, '--connect', `vsock:2:${PORT}`, '--forward-to-host', forward);
  };
  const sumOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

  async function transfer(): Promise<void> {
    const sent = randomBytes(SIZE);
    const client = connect({ path: forwarded, allowHalfOpen: true });
    sockets.add(client);
    client.end(sent);
    const chunks: Uint8Array[] = [];
    for await (const chunk of client) chunks.push(chunk);
    assert.equal(sumOf(Buffer.concat(chunks)), sumOf(sent));
  }

  it('listens, connects, and carries bytes each way', async () => {
    await listening();
    await connecting(/multiplexer up/);
    await transfer();
  });

  it('dials until somebody listens, and again when the link has fallen', async () => {
    const dialling = await connecting(/agent ready/);
    const first = await (async () => {
      const up = says(dialling, /multiplexer up/);
      const agent = await listening();
      await up;
      return agent;
    })();
    await transfer();
    const down = says(dialling, /multiplexer down/);
    await kill(first);
    await down;
    rmSync(join(dir, `vsock-${PORT}`));
    const up = says(dialling, /multiplexer up/);
    await listening();
    await up;
    await transfer();
  });

  it('both ends leave in order', async () => {
    const first = await listening();
    const second = await connecting(/multiplexer up/);
    assert.equal(await kill(second, 'SIGTERM'), 0);
    assert.equal(await kill(first, 'SIGTERM'), 0);
  });
});
