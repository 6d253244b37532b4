/** The Services of one Kubernetes cluster, published on the host for as long as the agent runs. */
import { networkInterfaces } from 'node:os';
import { Publications, type PublicationsDeps } from '../publications.ts';
import type { ClusterLibrary } from './cluster.ts';
import { ObjectWatch, type ObjectWatchTimes } from './object-watch.ts';
import { type PublishedService, readNode, readService, servicePorts } from './service-ports.ts';

export interface ClusterPortsDeps extends Pick<PublicationsDeps, 'log' | 'connect'> {
  readonly library: ClusterLibrary;
  /** A path; '' looks at the known places. */
  readonly kubeconfig: string;
  readonly times?: ObjectWatchTimes;
}

const PORTS_MAX = 1_000;
/** A list or a rollout changes many at once. */
const PAUSE_MS = 20;

export class ClusterPorts {
  private readonly publications: Publications;
  private readonly services: ObjectWatch<PublishedService>;
  private readonly nodes: ObjectWatch<readonly string[]>;
  private allServices: ReadonlyMap<string, PublishedService> | undefined = undefined;
  /** Undefined: not known yet. */
  private allNodes: ReadonlyMap<string, readonly string[]> | undefined = undefined;
  private timer: NodeJS.Timeout | undefined = undefined;

  constructor({ log, connect, library, kubeconfig, times }: ClusterPortsDeps) {
    this.publications = new Publications({ log, source: 'Kubernetes', connect });
    const shared = {
      log,
      open: () => library.openCluster(kubeconfig),
      ...(times === undefined ? {} : { times }),
    };
    this.services = new ObjectWatch({
      ...shared,
      path: '/api/v1/services',
      pick: readService,
      onChange: (services) => {
        this.allServices = services;
        this.publishSoon();
      },
    });
    this.nodes = new ObjectWatch({
      ...shared,
      path: '/api/v1/nodes',
      pick: readNode,
      onChange: (nodes) => {
        this.allNodes = nodes;
        this.publishSoon();
      },
      onForbidden: () => {
        this.allNodes ??= new Map();
        this.publishSoon();
      },
    });
  }

  start(): void {
    this.services.start();
    this.nodes.start();
  }

  close(): void {
    clearTimeout(this.timer);
    this.services.close();
    this.nodes.close();
    this.publications.close();
  }

  private publishSoon(): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.publish();
    }, PAUSE_MS);
  }

  private publish(): void {
    const { allServices, allNodes } = this;
    if (allServices === undefined || allNodes === undefined) return;
    const own = new Set(
      Object.values(networkInterfaces()).flatMap((all) =>
        (all ?? []).map(({ address }) => address),
      ),
    );
    const nodes = { nodes: allNodes.values(), isOwn: (address: string) => own.has(address) };
    const { ports, leftOut } = servicePorts(allServices, nodes, PORTS_MAX);
    this.publications.reconcile(ports, leftOut);
  }
}
