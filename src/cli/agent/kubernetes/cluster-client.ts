/**
 * {@link ClusterLibrary} by Kubernetes' official client: its reading of kubeconfig files, with all ways to log in, and its
 * watch. A file of its own (`tools/bundle.ts`), so that only an agent that watches a cluster reads it. Of the client's list
 * functions none is used: they would bring the models of every resource of Kubernetes along.
 */
import { existsSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import { Watch } from '@kubernetes/client-node/dist/watch.js';
import { readSmallFile } from '../../../native/read-small-file.ts';
import { messageOf } from '../../../network/errors.ts';
import { member } from '../../docker-proxy/lease.ts';
import { type Cluster, ClusterError, type WatchRequest } from './cluster.ts';

/** Of the user; of k3s, kubeadm, k0s and MicroK8s on this machine. */
const PLACES = [
  join(homedir(), '.kube/config'),
  '/etc/rancher/k3s/k3s.yaml',
  '/etc/kubernetes/admin.conf',
  '/var/lib/k0s/pki/admin.conf',
  '/var/snap/microk8s/current/credentials/client.config',
] as const;
const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount/token';
const ANSWER_BYTES_MAX = 64 << 20;
const ANSWER_MS = 30_000;
const GOOD = 200;

export function openCluster(kubeconfig: string): Cluster {
  const config = configOf(kubeconfig);
  const server = config.getCurrentCluster()?.server;
  if (server === undefined) throw new Error('the kubeconfig names no current cluster');
  return new ClientCluster(config, server.replace(/\/+$/, ''));
}

/** The client would wait for the writer of a FIFO, deaf to everything. */
class FileConfig extends KubeConfig {
  override loadFromFile(...[file, options]: Parameters<KubeConfig['loadFromFile']>): void {
    const text = readSmallFile(file);
    try {
      this.loadFromString(text, options);
    } catch (cause) {
      throw new Error(`${file} is no kubeconfig: ${messageOf(cause)}`, { cause });
    }
    this.makePathsAbsolute(dirname(file));
  }
}

function configOf(kubeconfig: string): KubeConfig {
  const config = new FileConfig();
  const named = kubeconfig || process.env['KUBECONFIG'];
  const path = named || PLACES.find((place) => existsSync(place));
  if (kubeconfig === '' && named !== undefined && named !== '') config.loadFromDefault();
  else if (path !== undefined) config.loadFromFile(path);
  else if (existsSync(SERVICE_ACCOUNT)) config.loadFromCluster();
  else throw new Error(`no kubeconfig is there: ${PLACES.join(', ')}`);
  return config;
}

class ClientCluster implements Cluster {
  readonly server: string;
  private readonly config: KubeConfig;

  constructor(config: KubeConfig, server: string) {
    this.config = config;
    this.server = server;
  }

  async get(path: string): Promise<unknown> {
    const options: RequestOptions = { timeout: ANSWER_MS, headers: { accept: 'application/json' } };
    await this.config.applyToHTTPSOptions(options);
    const url = new URL(this.server + path);
    const send = url.protocol === 'http:' ? httpRequest : httpsRequest;
    return await new Promise((resolve, reject) => {
      const asked = send(url, options, (answer) => {
        read(answer).then(resolve, (error: unknown) => {
          asked.destroy();
          reject(error);
        });
      });
      asked.on('timeout', () => asked.destroy(new Error('it does not answer')));
      asked.on('error', reject);
      asked.end();
    });
  }

  watch({ path, query, onEvent, onEnd }: WatchRequest): () => void {
    let isOver = false;
    const end = (error: unknown): void => {
      if (isOver) return;
      isOver = true;
      onEnd(error ?? undefined);
    };
    const onObject = (type: string, object: unknown): void => {
      if (!isOver) onEvent({ type, object });
    };
    const started = new Watch(this.config).watch(path, query, onObject, (error: unknown) =>
      end(statusOf(error)),
    );
    started.catch(end);
    return () => {
      isOver = true;
      started.then(
        (controller) => controller.abort(),
        () => {},
      );
    };
  }
}

function statusOf(error: unknown): unknown {
  const status = member(error, 'statusCode');
  if (typeof status !== 'number' || !(error instanceof Error)) return error;
  return new ClusterError(status, `the API server answers ${status}: ${error.message}`);
}

async function read(answer: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = [];
  let len = 0;
  for await (const part of answer) {
    const bytes = Buffer.from(part);
    len += bytes.length;
    if (len > ANSWER_BYTES_MAX) throw new Error('its list is too long');
    parts.push(bytes);
  }
  const text = Buffer.concat(parts).toString('utf8');
  const status = answer.statusCode ?? 0;
  if (status === GOOD) return JSON.parse(text);
  throw new ClusterError(status, `the API server answers ${status}: ${messageIn(text)}`);
}

/** Of a `Status` of Kubernetes. */
function messageIn(text: string): string {
  try {
    return String(member(JSON.parse(text), 'message') ?? '');
  } catch {
    return text.slice(0, 200);
  }
}
