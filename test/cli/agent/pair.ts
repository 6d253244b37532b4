/** hawser's end of the multiplexer and an agent, in one process, over real sockets. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Log } from '../../../src/base/log.ts';
import { Budget } from '../../../src/base/shares/budget.ts';
import { Agent } from '../../../src/cli/agent/agent.ts';
import { parseAgentArguments } from '../../../src/cli/agent/arguments.ts';
import type { MuxEvent } from '../../../src/control/events/network-events.ts';
import { acceptStreams } from '../../../src/native/stream/accept-streams.ts';
import type { HostStream } from '../../../src/native/stream/host-stream.ts';
import { MuxLinks } from '../../../src/network/mux-links.ts';
import { distFile } from '../../../src/network/own-files.ts';
import type { AgentTarget } from '../../../src/proxy/ports/agent-carrier.ts';
import { NodeClock } from '../../../src/transports/node-clock.ts';
import { fixedGuests } from '../../proxy/ports/port-fixture.ts';
import { flowBook } from '../../proxy/recording.ts';
import { ownTurns } from '../../support/turns.ts';

const DEADLINE_MS = 4_000;

export class RecordingLog implements Log {
  readonly lines: string[] = [];
  debug(): void {}
  info(fields: object, message: string): void {
    this.lines.push(`${message} ${JSON.stringify(fields)}`);
  }
  warn(fields: object, message: string): void {
    this.info(fields, message);
  }
  error(fields: object, message: string): void {
    this.info(fields, message);
  }
}

export class Pair {
  readonly dir: string = mkdtempSync(join(tmpdir(), 'hawser-mux-'));
  readonly log: RecordingLog = new RecordingLog();
  readonly agentLog: RecordingLog = new RecordingLog();
  host: MuxLinks | undefined;
  agent: Agent | undefined;
  readonly events: MuxEvent[] = [];
  /** Clients that are done with. */
  ended = 0;
  private readonly servers: Server[] = [];
  private readonly sockets = new Set<Socket>();

  path(name: string): string {
    return join(this.dir, name);
  }

  async startHost(links: readonly string[], allow: readonly string[] = []): Promise<MuxLinks> {
    this.host = new MuxLinks({
      opensTarget: () => true,
      book: flowBook(),
      links,
      allow,
      sourceAddress: 'preserve',
      keepaliveS: 120,
      serves: () => false,
      clock: new NodeClock(),
      log: this.log,
      turns: ownTurns(),
      guests: fixedGuests(() => undefined),
      dialGuest: () => undefined,
      flusher: { schedule: () => {} },
      socketMode: 0o600,
      sockets: new Budget('sockets', 1 << 16),
      vhostMemory: 'sealed',
      onEvent: (event) => this.events.push(event),
      graceMs: 60_000,
      onAgentGone: () => {},
    });
    await this.host.open();
    return this.host;
  }

  async startAgent(...argv: string[]): Promise<Agent> {
    const parsed = parseAgentArguments(argv);
    assert.ok(parsed.kind === 'run', JSON.stringify(parsed));
    this.agent = new Agent(parsed.request, {
      clock: new NodeClock(),
      log: this.agentLog,
      clusterLibrary: distFile('hawser-agent-kubernetes.mjs'),
    });
    await this.agent.start();
    return this.agent;
  }

  /** Wait for both ends' handshakes. */
  async ready(): Promise<void> {
    await turns('the multiplexer to be up', () => {
      const up = this.host?.view().some(({ peers }) => peers.some((p) => p.state === 'ready'));
      return up === true && this.agent?.peers.current !== undefined;
    });
  }

  /** A server of the guest's. @returns its port, or its path */
  async serve(onSocket: (socket: Socket) => void, path?: string): Promise<number> {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      this.sockets.add(socket);
      socket.on('error', () => {});
      onSocket(socket);
    });
    this.servers.push(server);
    if (path === undefined) server.listen(0, '127.0.0.1');
    else server.listen(path);
    await once(server, 'listening');
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** A published port, as the port table has it. @returns the port */
  async publish(target: AgentTarget, preface?: Uint8Array): Promise<number> {
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
    this.servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const onStream = (stream: HostStream): void => {
      const onEnd = (): void => {
        this.ended++;
      };
      const served = this.host?.carrier.serve(stream, target, undefined, preface, onEnd, '1');
      if (served !== true) stream.reset();
    };
    acceptStreams(server, { onStream, onFailed: () => {} });
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    return address.port;
  }

  client(at: number | string): Socket {
    const options = { allowHalfOpen: true };
    const socket =
      typeof at === 'number'
        ? connect({ ...options, host: '127.0.0.1', port: at })
        : connect({ ...options, path: at });
    this.sockets.add(socket);
    socket.on('error', () => {});
    return socket;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    for (const server of this.servers) server.close();
    await this.agent?.close();
    await this.host?.close();
    rmSync(this.dir, { recursive: true });
  }
}

/** Let the event loop turn until it is so. */
export async function turns(what: string, done: () => boolean): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS;
  while (!done()) {
    assert.ok(performance.now() < deadline, `waited in vain for ${what}`);
    await new Promise(setImmediate);
  }
}

/** Everything until the end. @throws what the socket fails with */
export async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk);
  return Buffer.concat(chunks);
}
