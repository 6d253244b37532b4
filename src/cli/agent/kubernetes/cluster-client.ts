/**
 * {@link ClusterLibrary} by Kubernetes' official client: its reading of kubeconfig files, with all ways to log in. A file of
 * its own (`tools/bundle.ts`), so that only an agent that watches a cluster reads it. Of the client's list functions none is
 * used: they would bring the models of every resource of Kubernetes along; nor its watch, which holds any event in memory.
 */
import type { RequestOptions } from 'node:https';
import type { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import { member } from '../../docker-proxy/lease.ts';
import type { Cluster, WatchRequest } from './cluster.ts';
import { REQUEST_BOUNDS, type RequestBounds, readJson, readJsonLines } from './cluster-requests.ts';
import { readKubeconfig } from './kubeconfig.ts';

export function openCluster(kubeconfig: string, bounds: RequestBounds = REQUEST_BOUNDS): Cluster {
  const config = readKubeconfig(kubeconfig);
  const server = config.getCurrentCluster()?.server;
  if (server === undefined) throw new Error('the kubeconfig names no current cluster');
  return new ClientCluster(config, server.replace(/\/+$/, ''), bounds);
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
