/** A host's guest API, as far as an agent uses it: it keeps the set of each connection. */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { z } from 'zod';

const Put = z.object({ ports: z.array(z.string()), leftOut: z.number() });
const Patch = z.object({
  add: z.array(z.string()),
  remove: z.array(z.string()),
  leftOut: z.number(),
});

export class FakeHost {
  /** Every set that was sent, in order. */
  readonly sets: (readonly string[])[] = [];
  readonly methods: (string | undefined)[] = [];
  leftOut = 0;
  connections = 0;
  /** Undefined: the set is published. */
  refusal: { readonly status: number; readonly detail: string } | undefined = undefined;
  /** Answers wait until it resolves. */
  gate: Promise<void> = Promise.resolve();
  isListening = true;
  private readonly path: string;
  private readonly held = new Map<Socket, readonly string[]>();
  private server: Server | undefined;

  /** @param path of a Unix socket */
  constructor(path: string) {
    this.path = path;
  }

  /** What is published now. */
  get ports(): readonly string[] {
    return [...this.held.values()].flat();
  }

  start(): Promise<void> {
    const server = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => {
        void this.gate.then(() => {
          const { ports, leftOut } = this.wanted(request, Buffer.concat(parts).toString());
          this.sets.push(ports);
          this.methods.push(request.method);
          this.leftOut = leftOut;
          const { refusal } = this;
          response.writeHead(refusal?.status ?? 200, { 'content-type': 'application/json' });
          if (refusal === undefined) this.held.set(request.socket, ports);
          const answer = { published: ports.length, waiting: 0, problems: [] };
          response.end(JSON.stringify(refusal ?? answer));
        });
      });
    });
    server.on('connection', (socket) => {
      this.connections++;
      socket.once('close', () => this.held.delete(socket));
    });
    server.keepAliveTimeout = 0;
    this.server = server;
    return new Promise((resolve) => server.listen(this.path, resolve));
  }

  private wanted({ method, socket }: IncomingMessage, body: string): z.infer<typeof Put> {
    const parsed: unknown = JSON.parse(body);
    if (method === 'PUT') return Put.parse(parsed);
    const { add, remove, leftOut } = Patch.parse(parsed);
    const before = this.held.get(socket) ?? [];
    return { ports: [...before.filter((one) => !remove.includes(one)), ...add], leftOut };
  }

  readonly connect = (): Duplex | undefined =>
    this.isListening ? connect({ path: this.path }) : undefined;

  /** End every connection. */
  drop(): void {
    this.server?.closeAllConnections();
  }

  stop(): Promise<void> {
    const { server } = this;
    this.server = undefined;
    if (server === undefined) return Promise.resolve();
    return new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }
}
