/**
 * A Kubernetes API server in a guest: kube-apiserver with etcd where both are on PATH, else a stand-in. No kube-proxy, no
 * kubelet: who listens at a node port is up to the test.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { onPath } from '../../../src/lab/on-path.ts';
import type { Guest, Lab } from './lab.ts';
import type { Background } from './processes.ts';
import { until } from './until.ts';

const STAND_IN = fileURLToPath(new URL('./kube-api-main.js', import.meta.url));
const PORT = 6_443;
const TOKEN = 'let-me-in';
const CORE = '/api/v1/namespaces/default';

export class Cluster {
  readonly kubeconfig: string;
  private readonly lab: Lab;
  private readonly guest: Guest;
  private readonly isReal = onPath('kube-apiserver') !== undefined && onPath('etcd') !== undefined;
  private server: Background | undefined = undefined;
  private etcd: Background | undefined = undefined;

  constructor(lab: Lab, guest: Guest) {
    this.lab = lab;
    this.guest = guest;
    this.kubeconfig = lab.path('kubeconfig');
  }

  async start(): Promise<void> {
    this.server = this.isReal
      ? this.startReal()
      : this.guest.start([process.execPath, STAND_IN, `${PORT}`, this.kubeconfig]);
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
    const scheme = this.isReal ? 'https' : 'http';
    const data =
      body === undefined
        ? []
        : ['-H', 'content-type: application/json', '-d', JSON.stringify(body)];
    const url = `${scheme}://127.0.0.1:${PORT}${path}`;
    const auth = ['-H', `authorization: Bearer ${TOKEN}`];
    return this.guest.run('curl', '-ksSf', '-m', '20', '-X', method, ...auth, ...data, url);
  }

  private startReal(): Background {
    const { guest, lab } = this;
    const file = (name: string, text: string): string => {
      const path = lab.path(name);
      writeFileSync(path, text, { mode: 0o600 });
      return path;
    };
    this.etcd ??= guest.start(['etcd', '--data-dir', lab.path('etcd')]);
    const tokens = file('tokens', `${TOKEN},test,1,system:masters\n`);
    const cluster = { server: `https://127.0.0.1:${PORT}`, 'insecure-skip-tls-verify': true };
    file(
      'kubeconfig',
      JSON.stringify({
        clusters: [{ name: 'c', cluster }],
        users: [{ name: 'u', user: { token: TOKEN } }],
        contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
        'current-context': 'x',
      }),
    );
    const key = lab.path('service-accounts.key');
    const argv = [
      ...['kube-apiserver', '--etcd-servers', 'http://127.0.0.1:2379'],
      ...['--secure-port', `${PORT}`, '--cert-dir', lab.path('certificates')],
      ...['--token-auth-file', tokens, '--service-cluster-ip-range', '10.96.0.0/16'],
      ...['--service-account-issuer', 'https://test', '--service-account-key-file', key],
      ...['--service-account-signing-key-file', key, '--disable-admission-plugins'],
      'ServiceAccount',
    ];
    return guest.start(['sh', '-c', `openssl genrsa -out ${key} 2048 && exec "$0" "$@"`, ...argv]);
  }
}
