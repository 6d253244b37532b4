/**
 * A Kubernetes API server in a guest: a stand-in, for no distribution has the real one. No kube-proxy, no kubelet: who
 * listens at a node port is up to the test.
 */
import { fileURLToPath } from 'node:url';
import type { Guest, Lab } from './lab.ts';
import type { Background } from './processes.ts';
import { until } from './until.ts';

const STAND_IN = fileURLToPath(new URL('./kube-api-main.js', import.meta.url));
const PORT = 6_443;
const CORE = '/api/v1/namespaces/default';

export class Cluster {
  readonly kubeconfig: string;
  private readonly guest: Guest;
  private server: Background | undefined = undefined;

  constructor(lab: Lab, guest: Guest) {
    this.guest = guest;
    this.kubeconfig = lab.path('kubeconfig');
  }

  async start(): Promise<void> {
    this.server = this.guest.start([process.execPath, STAND_IN, `${PORT}`, this.kubeconfig]);
    await until('the API server to answer', () => this.ask('GET', `${CORE}/services`), 60_000);
  }

  async stop(): Promise<void> {
    await this.server?.stop('SIGKILL');
  }

  create(resource: string, name: string, object: object): Promise<string> {
    return this.ask('POST', `${CORE}/${resource}`, { ...this.typed(object), metadata: { name } });
  }

  createNode(name: string, address: string): Promise<string> {
    const status = { addresses: [{ type: 'InternalIP', address }] };
    return this.ask('POST', '/api/v1/nodes', {
      ...{ apiVersion: 'v1', kind: 'Node', metadata: { name }, status },
    });
  }

  /** Change fields of an object. */
  async change(resource: string, name: string, change: (object: string) => string): Promise<void> {
    const path = `${CORE}/${resource}/${name}`;
    await this.ask('PUT', path, JSON.parse(change(await this.ask('GET', path))));
  }

  /** Whether it is there or not. */
  async remove(resource: string, name: string): Promise<void> {
    await this.ask('DELETE', `${CORE}/${resource}/${name}`).catch(() => {});
  }

  private typed(object: object): object {
    return { apiVersion: 'v1', kind: 'Service', ...object };
  }

  private ask(method: string, path: string, body?: object): Promise<string> {
    const data =
      body === undefined
        ? []
        : ['-H', 'content-type: application/json', '-d', JSON.stringify(body)];
    const url = `http://127.0.0.1:${PORT}${path}`;
    return this.guest.run('curl', '-sSf', '-m', '20', '-X', method, ...data, url);
  }
}
