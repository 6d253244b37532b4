/**
 * A Kubernetes API server in a guest: a stand-in, for no distribution has the real one. No kube-proxy, no kubelet: who
 * listens at a node port is up to the test.
 */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Authority, type Certified } from '../../support/certificates.ts';
import { KUBE_TOKEN } from '../../support/kube-api.ts';
import type { Guest, Lab } from './lab.ts';
import type { Background } from './processes.ts';
import { until } from './until.ts';

const STAND_IN = fileURLToPath(new URL('./kube-api-main.js', import.meta.url));
const PORT = 6_443;
const CORE = '/api/v1/namespaces/default';

export class Cluster {
  /** With the certificates of its administrator, as those of k3s and kubeadm. */
  readonly kubeconfig: string;
  private readonly guest: Guest;
  private readonly pki: string;
  private readonly authority: Authority;
  private readonly admin: Certified;
  private server: Background | undefined = undefined;

  constructor(lab: Lab, guest: Guest) {
    this.guest = guest;
    this.kubeconfig = lab.path('kubeconfig');
    this.pki = lab.path('pki');
    mkdirSync(this.pki);
    this.authority = new Authority(this.pki);
    this.authority.certify('server', '/CN=kube-apiserver', 'IP:127.0.0.1');
    this.admin = this.authority.certify('admin', '/O=system:masters/CN=admin');
  }

  /** Run a program as a container of a pod is, to whom the cluster gives a service account. */
  inPod(argv: readonly string[]): readonly string[] {
    const account = join(this.pki, 'account');
    mkdirSync(account);
    copyFileSync(this.authority.own.certificate, join(account, 'ca.crt'));
    writeFileSync(join(account, 'token'), KUBE_TOKEN);
    writeFileSync(join(account, 'namespace'), 'default');
    const place = '/run/secrets/kubernetes.io/serviceaccount';
    const mount = `mount -t tmpfs tmpfs /run && mkdir -p ${place} && mount --bind ${account} ${place}`;
    const env = ['KUBERNETES_SERVICE_HOST=127.0.0.1', `KUBERNETES_SERVICE_PORT=${PORT}`];
    const home = [`HOME=${this.pki}`, 'KUBECONFIG='];
    const script = ['sh', '-c', `${mount} && exec "$@"`, 'sh'];
    return ['env', ...env, ...home, 'unshare', '--mount', ...script, ...argv];
  }

  async start(): Promise<void> {
    const args = [`${PORT}`, this.kubeconfig, this.pki];
    this.server = this.guest.start([process.execPath, STAND_IN, ...args]);
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
    const { key, certificate } = this.admin;
    const tls = ['--cacert', this.authority.own.certificate, '--cert', certificate, '--key', key];
    const url = `https://127.0.0.1:${PORT}${path}`;
    return this.guest.run('curl', '-sSf', '-m', '20', ...tls, '-X', method, ...data, url);
  }
}
