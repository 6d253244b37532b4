/**
 * A stand-in for kube-apiserver, by the documentation of its API ("Kubernetes API Concepts"): lists with a version, in
 * pages; watches as lines of JSON from a version on, with bookmarks, which end in order after their time; 410 Gone for a
 * version that is too old, as a status or as an event; objects that are created, replaced and deleted. Of fields that the
 * server fills in itself, node ports alone. By TLS it answers those alone whose certificate is of its clients' authority,
 * or who have the token.
 */
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Certified } from './certificates.ts';

type Fields = Readonly<Record<string, unknown>>;

export interface KubeObject {
  readonly metadata?: Fields;
  readonly spec?: Fields;
  readonly status?: Fields;
}

interface Change {
  readonly version: number;
  readonly resource: string;
  readonly type: string;
  readonly object: KubeObject;
}

interface Watcher {
  readonly resource: string;
  readonly response: ServerResponse;
}

/** What a server that is broken, or means harm, does with requests for Services. */
export type KubeFault =
  | 'long-list'
  | 'dripping-list'
  | 'endless-pages'
  | 'silent-watch'
  | 'endless-event'
  | 'odd-event';

export const KUBE_TOKEN = 'secret';
const FIRST_NODE_PORT = 30_000;
const DRIP_MS = 20;

export interface KubeTls {
  readonly own: Certified;
  /** The certificate of the authority of clients. */
  readonly clients: string;
}

export class KubeApi {
  /** Resources that may not be read. */
  readonly forbidden: Set<string> = new Set();
  /** Requests: `list services`, `watch services 3`. */
  readonly asked: string[] = [];
  /** How a version that is too old is said. */
  goneBy: 'status' | 'event' = 'event';
  fault: KubeFault | undefined = undefined;
  token: string = KUBE_TOKEN;
  private readonly tls: KubeTls | undefined;
  private readonly objects = new Map<string, KubeObject>();
  private readonly watchers = new Set<Watcher>();
  private readonly connections = new Set<Socket>();
  private changes: Change[] = [];
  private version = 100;
  private oldest = 100;
  private nextNodePort = FIRST_NODE_PORT;
  private server: Server | undefined;
  private address: { host: string; port: number } | undefined;

  constructor(tls?: KubeTls) {
    this.tls = tls;
  }

  /** Connections. */
  get open(): number {
    return this.connections.size;
  }

  get url(): string {
    const scheme = this.tls === undefined ? 'http' : 'https';
    return `${scheme}://${this.address?.host}:${this.address?.port}`;
  }

  /** A kubeconfig for it. */
  get kubeconfig(): string {
    return this.kubeconfigWith({ 'insecure-skip-tls-verify': true }, { token: this.token });
  }

  kubeconfigWith(cluster: object, user: object): string {
    return JSON.stringify({
      clusters: [{ name: 'c', cluster: { server: this.url, ...cluster } }],
      users: [{ name: 'u', user }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    });
  }

  /** The second time at the same address. */
  async start(host = '127.0.0.1', port = 0): Promise<void> {
    const server = this.newServer((request, response) => void this.serve(request, response));
    server.on('connection', (socket) => {
      this.connections.add(socket);
      socket.once('close', () => this.connections.delete(socket));
    });
    this.server = server;
    const at = this.address ?? { host, port };
    await new Promise<void>((resolve) => server.listen(at.port, at.host, resolve));
    const { port: bound } = server.address() as AddressInfo;
    this.address = { host: at.host, port: bound };
  }

  private newServer(
    onRequest: (request: IncomingMessage, response: ServerResponse) => void,
  ): Server {
    if (this.tls === undefined) return createServer(onRequest);
    const { own, clients } = this.tls;
    const keys = { key: readFileSync(own.key), cert: readFileSync(own.certificate) };
    const asked = { ca: readFileSync(clients), requestCert: true, rejectUnauthorized: false };
    return createTlsServer({ ...keys, ...asked }, onRequest);
  }

  private isAllowed({ socket, headers }: IncomingMessage): boolean {
    if (!(socket instanceof TLSSocket)) return true;
    return socket.authorized || headers.authorization === `Bearer ${this.token}`;
  }

  async stop(): Promise<void> {
    const { server } = this;
    this.server = undefined;
    this.watchers.clear();
    if (server === undefined) return;
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }

  apply(resource: string, name: string, object: KubeObject): KubeObject {
    const key = `${resource}/default/${name}`;
    const before = this.objects.get(key);
    this.version++;
    const made = {
      ...object,
      spec: this.withNodePorts(object.spec ?? {}),
      metadata: {
        creationTimestamp: before?.metadata?.['creationTimestamp'] ?? '2026-01-01T00:00:00Z',
        ...object.metadata,
        ...{ name, namespace: 'default', resourceVersion: `${this.version}` },
      },
    };
    this.objects.set(key, made);
    this.change(resource, before === undefined ? 'ADDED' : 'MODIFIED', made);
    return made;
  }

  remove(resource: string, name: string): KubeObject | undefined {
    const key = `${resource}/default/${name}`;
    const object = this.objects.get(key);
    if (object === undefined) return undefined;
    this.objects.delete(key);
    this.version++;
    const gone = {
      ...object,
      metadata: { ...object.metadata, resourceVersion: `${this.version}` },
    };
    this.change(resource, 'DELETED', gone);
    return gone;
  }

  /** Forget all events, as etcd does after some minutes. */
  compact(): void {
    this.oldest = ++this.version;
    this.changes = [];
  }

  /** End all watches in order, as after their time. */
  endWatches(): void {
    for (const { response } of this.watchers) response.end();
    this.watchers.clear();
  }

  bookmark(): void {
    this.version++;
    for (const { response } of this.watchers) {
      const metadata = { resourceVersion: `${this.version}` };
      response.write(lineOf('BOOKMARK', { kind: 'Service', metadata }));
    }
  }

  private withNodePorts(spec: Fields): Fields {
    const { type, ports } = spec;
    if ((type !== 'NodePort' && type !== 'LoadBalancer') || !Array.isArray(ports)) return spec;
    const all = ports.map((port: object) => ({ nodePort: this.nextNodePort++, ...port }));
    return { ...spec, ports: all };
  }

  private change(resource: string, type: string, object: KubeObject): void {
    this.changes.push({ version: this.version, resource, type, object });
    for (const watcher of this.watchers) {
      if (watcher.resource === resource) watcher.response.write(lineOf(type, object));
    }
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', 'http://x');
    const [, resource = '', name = ''] =
      /^\/api\/v1\/(?:namespaces\/default\/)?(\w+)(?:\/([\w-]+))?$/.exec(url.pathname) ?? [];
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(Buffer.from(part));
    const body = Buffer.concat(parts).toString('utf8');
    if (!this.isAllowed(request)) fail(response, 401, 'Unauthorized');
    else if (this.forbidden.has(resource)) fail(response, 403, `${resource} is forbidden`);
    else if (request.method === 'POST') {
      const object: KubeObject = JSON.parse(body);
      answer(response, 201, this.apply(resource, String(object.metadata?.['name']), object));
    } else if (request.method === 'PUT')
      answer(response, 200, this.apply(resource, name, JSON.parse(body)));
    else if (request.method === 'DELETE') {
      const gone = this.remove(resource, name);
      if (gone === undefined) fail(response, 404, 'not found');
      else answer(response, 200, gone);
    } else if (name !== '') {
      const object = this.objects.get(`${resource}/default/${name}`);
      if (object === undefined) fail(response, 404, 'not found');
      else answer(response, 200, object);
    } else if (resource === 'services' && this.isFaulty(url.searchParams, response)) return;
    else if (url.searchParams.has('watch')) this.watch(resource, url.searchParams, response);
    else this.list(resource, url.searchParams, response);
  }

  /** @returns whether the request is dealt with */
  private isFaulty(query: URLSearchParams, response: ServerResponse): boolean {
    const [, of] = /-(list|pages|watch|event)$/.exec(this.fault ?? '') ?? [];
    if (of === undefined || query.has('watch') !== (of === 'watch' || of === 'event')) return false;
    switch (this.fault) {
      case 'long-list':
        answer(response, 200, { kind: 'List', metadata: {}, items: ['x'.repeat(1_000_000)] });
        break;
      case 'dripping-list': {
        const timer = setInterval(() => response.write(' '), DRIP_MS);
        response.once('close', () => clearInterval(timer));
        break;
      }
      case 'endless-pages':
        answer(response, 200, { kind: 'List', metadata: { continue: 'more' }, items: [] });
        break;
      case 'endless-event':
        response.write(`{"type":"${'x'.repeat(1_000_000)}`);
        break;
      case 'odd-event':
        response.write('nothing\n');
        break;
      default: // is never answered
    }
    return true;
  }

  private list(resource: string, query: URLSearchParams, response: ServerResponse): void {
    const all = [...this.objects].flatMap(([key, object]) =>
      key.startsWith(`${resource}/`) ? [object] : [],
    );
    const token = query.get('continue');
    this.asked.push(`list ${resource}${token === null ? '' : ` from ${token}`}`);
    const from = Number(token ?? 0);
    const to = from + Number(query.get('limit') ?? all.length);
    const metadata = {
      resourceVersion: `${this.version}`,
      ...(to < all.length ? { continue: `${to}` } : {}),
    };
    answer(response, 200, { kind: 'List', metadata, items: all.slice(from, to) });
  }

  private watch(resource: string, query: URLSearchParams, response: ServerResponse): void {
    const from = Number(query.get('resourceVersion'));
    this.asked.push(`watch ${resource} ${from}`);
    if (from < this.oldest) {
      const gone = {
        kind: 'Status',
        code: 410,
        reason: 'Expired',
        message: 'too old resource version',
      };
      if (this.goneBy === 'status') answer(response, 410, gone);
      else response.end(lineOf('ERROR', gone));
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    for (const change of this.changes) {
      if (change.resource !== resource || change.version <= from) continue;
      response.write(lineOf(change.type, change.object));
    }
    const watcher = { resource, response };
    this.watchers.add(watcher);
    const seconds = Number(query.get('timeoutSeconds') ?? 300);
    const timer = setTimeout(() => response.end(), seconds * 1_000);
    response.once('close', () => {
      clearTimeout(timer);
      this.watchers.delete(watcher);
    });
  }
}

const lineOf = (type: string, object: object): string => `${JSON.stringify({ type, object })}\n`;

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

const fail = (response: ServerResponse, code: number, message: string): void =>
  answer(response, code, { kind: 'Status', code, message });
