/** A Kubernetes cluster's API, as it is needed here; and the library for it, which few agents load. */
import { importOwn } from '../../../network/own-files.ts';

export interface ObjectEvent {
  /** `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK`, `ERROR`. */
  readonly type: string;
  readonly object: unknown;
}

export interface WatchRequest {
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly onEvent: (event: ObjectEvent) => void;
  /** Called once. @param error undefined: the server has ended it in order */
  readonly onEnd: (error: unknown) => void;
}

/** What the API server answers with, other than 200. */
export class ClusterError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export interface Cluster {
  /** For logs: where the API server is. */
  readonly server: string;
  /** @throws ClusterError, or the system's error */
  get(path: string): Promise<unknown>;
  /** @returns a function that ends it, without `onEnd` */
  watch(request: WatchRequest): () => void;
}

export interface ClusterLibrary {
  /**
   * @param kubeconfig a path; '' looks at the known places
   * @throws Error when there is none, or it cannot be read
   */
  openCluster(kubeconfig: string): Cluster;
}

/** @throws Error that says what to do */
export async function loadClusterLibrary(file: URL): Promise<ClusterLibrary> {
  let why = 'it is of another version';
  try {
    const module = await importOwn(file);
    if (isClusterLibrary(module)) return module;
  } catch (error) {
    why = error instanceof Error ? error.message : String(error);
  }
  const advice = 'copy it from hawser beside the agent';
  throw new Error(`--watch-kubernetes needs ${file.pathname}: ${why}; ${advice}`);
}

const isClusterLibrary = (module: unknown): module is ClusterLibrary =>
  typeof module === 'object' && module !== null && 'openCluster' in module;
