/** A control API that publishes nothing: it keeps what was asked, and answers as configured. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export type Said = readonly [status: number, body: object];

export class FakeControl {
  readonly dir: string;
  readonly path: string;
  readonly asked: Record<string, unknown>[] = [];
  /** Connections that carry a lease. */
  readonly held: Set<Socket> = new Set();
  answer: (body: Record<string, unknown>) => Said = (body) => [201, { id: '1', ...body }];
  listed: readonly object[] = [];
  private server: Server | undefined;

  constructor() {
    this.dir = mkdtempSync(join(tmpdir(), 'hawser-control-'));
    this.path = join(this.dir, 'api.sock');
  }

  start(): Promise<void> {
    const server = createServer((request, response) => {
      let text = '';
      request.on('data', (chunk) => {
        text += chunk;
      });
      request.on('end', () => {
        const [status, body] = this.handle(text, request.socket);
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(JSON.stringify(body));
      });
    });
    server.keepAliveTimeout = 0;
    this.server = server;
    return new Promise((resolve) => {
      server.listen(this.path, resolve);
    });
  }

  private handle(text: string, socket: Socket): Said {
    if (text === '') return [200, { ports: this.listed }];
    const body: Record<string, unknown> = JSON.parse(text);
    this.asked.push(body);
    const said = this.answer(body);
    if (said[0] === 201) {
      this.held.add(socket);
      socket.once('close', () => this.held.delete(socket));
    }
    return said;
  }

  /** As a daemon that is killed does. */
  stop(): Promise<void> {
    const { server } = this;
    if (server === undefined) return Promise.resolve();
    return new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
      this.server = undefined;
    });
  }

  async close(): Promise<void> {
    await this.stop();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export const refusedWith = (code: string, detail: string): Said => [
  409,
  { status: 409, title: 'Conflict', code, detail },
];
