/**
 * {@link ClusterLibrary} by Kubernetes' official client: its reading of kubeconfig files, with all ways to log in. A file of
 * its own (`tools/bundle.ts`), so that only an agent that watches a cluster reads it. Of the client's list functions none is
 * used: they would bring the models of every resource of Kubernetes along; nor its watch, which holds any event in memory.
 */
import { existsSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import { readSmallFile } from '../../../native/read-small-file.ts';
import { messageOf } from '../../../network/errors.ts';
import { member } from '../../docker-proxy/lease.ts';
import type { Cluster, WatchRequest } from './cluster.ts';
import { REQUEST_BOUNDS, type RequestBounds, readJson, readJsonLines } from './cluster-requests.ts';
import { tokensIn } from './token-files.ts';

/** Of the user; of k3s, kubeadm, k0s and MicroK8s on this machine. */
const PLACES = [
  join(homedir(), '.kube/config'),
  '/etc/rancher/k3s/k3s.yaml',
  '/etc/kubernetes/admin.conf',
  '/var/lib/k0s/pki/admin.conf',
  '/var/snap/microk8s/current/credentials/client.config',
] as const;
const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount/token';

export function openCluster(kubeconfig: string, bounds: RequestBounds = REQUEST_BOUNDS): Cluster {
  const config = configOf(kubeconfig);
  const server = config.getCurrentCluster()?.server;
  if (server === undefined) throw new Error('the kubeconfig names no current cluster');
  return new ClientCluster(config, server.replace(/\/+$/, ''), bounds);
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
    const tokens = tokensIn(text, dirname(file));
    this.users = this.users.map((user) => {
      const token = tokens.get(user.name);
      return token === undefined ? user : { ...user, token };
    });
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
  private readonly bounds: RequestBounds;

  constructor(config: KubeConfig, server: string, bounds: RequestBounds) {
    this.config = config;
    this.server = server;
    this.bounds = bounds;
  }

  async get(path: string): Promise<unknown> {
    return await readJson(new URL(this.server + path), await this.options(), this.bounds);
  }

  watch({ path, query, onEvent, onEnd }: WatchRequest): () => void {
    const url = new URL(this.server + path);
    for (const [key, value] of Object.entries({ watch: 'true', ...query })) {
      url.searchParams.set(key, value);
    }
    const ended = new AbortController();
    const { signal } = ended;
    const read = async (): Promise<void> => {
      const options = { ...(await this.options()), signal };
      await readJsonLines(url, options, this.bounds, (line) => {
        const type = member(line, 'type');
        if (!signal.aborted && typeof type === 'string')
          onEvent({ type, object: member(line, 'object') });
      });
    };
    const end = (error?: unknown): void => {
      if (!signal.aborted) onEnd(error);
    };
    read().then(() => end(), end);
    return () => ended.abort();
  }

  private async options(): Promise<RequestOptions> {
    const options: RequestOptions = {};
    await this.config.applyToHTTPSOptions(options);
    return options;
  }
}
