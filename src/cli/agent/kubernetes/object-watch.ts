/**
 * Follows the objects of one resource of a Kubernetes cluster: lists them, then watches what happens from the version of
 * that list on, so that nothing is missed in between (the API's "efficient detection of changes").
 *
 * - A watch that the server ends in order goes on from the last version, which bookmarks keep young.
 * - A version that is too old (410 Gone, as a status or as an event) and every lost connection: it is listed again, as the
 *   server may be another one.
 * - While the cluster is away, what there was stays; the next list corrects it.
 *
 * Only what `pick` makes of an object is kept, so many at most; a list that does not end is given up, and begun again.
 */
import type { Log } from '../../../base/log.ts';
import { member } from '../../docker-proxy/lease.ts';
import { arrayOf } from '../publish-labels.ts';
import { type Cluster, ClusterError, type ObjectEvent } from './cluster.ts';

export interface ObjectWatchDeps<T> {
  readonly log: Log;
  /** Of the resource: `/api/v1/services`. */
  readonly path: string;
  /** Called before each list, as certificates and tokens change. @throws Error */
  readonly open: () => Cluster;
  /** @returns undefined for an object that makes no difference */
  readonly pick: (object: unknown) => T | undefined;
  /** @param objects by `namespace/name`, borrowed for the call */
  readonly onChange: (objects: ReadonlyMap<string, T>) => void;
  /** The cluster does not let it see them. */
  readonly onForbidden?: () => void;
  readonly times?: ObjectWatchTimes;
}

export interface ObjectWatchTimes {
  readonly firstRetryMs: number;
  readonly lastRetryMs: number;
  /** For all pages of one list. */
  readonly listMs: number;
  /** Of one watch; the server ends it then. */
  readonly watchS: number;
  /** Beyond that, where it does not. */
  readonly graceMs: number;
  /** A watch that ends sooner has not been one. */
  readonly shortMs: number;
}

const TIMES: ObjectWatchTimes = {
  firstRetryMs: 100,
  lastRetryMs: 10_000,
  listMs: 120_000,
  watchS: 300,
  graceMs: 30_000,
  shortMs: 1_000,
};
const PAGE = 500;
const OBJECTS_MAX = 10_000;
const GONE = 410;
const FORBIDDEN = 403;

export class ObjectWatch<T> {
  private readonly deps: ObjectWatchDeps<T>;
  private readonly times: ObjectWatchTimes;
  private objects = new Map<string, T>();
  private version = '';
  private retryMs: number;
  private timer: NodeJS.Timeout | undefined = undefined;
  /** Infinity: not at all. */
  private watchedSince = Number.POSITIVE_INFINITY;
  private endWatch: () => void = () => {};
  private isClosed = false;
  private lastFailure = '';
  /** Counts lists and watches: answers to older ones are not heeded. */
  private round = 0;

  constructor(deps: ObjectWatchDeps<T>) {
    this.deps = deps;
    this.times = deps.times ?? TIMES;
    this.retryMs = this.times.firstRetryMs;
  }

  start(): void {
    this.list();
  }

  close(): void {
    this.isClosed = true;
    this.begin();
  }

  /** @returns the new round; all before it is over */
  private begin(): number {
    clearTimeout(this.timer);
    this.endWatch();
    this.endWatch = () => {};
    return ++this.round;
  }

  private list(): void {
    const round = this.begin();
    const isCurrent = (): boolean => round === this.round && !this.isClosed;
    const tooLong = (): void => this.retry(new Error('its list takes too long'));
    this.timer = setTimeout(tooLong, this.times.listMs);
    this.readAll(isCurrent).then(
      (cluster) => {
        if (cluster === undefined || !isCurrent()) return;
        if (this.lastFailure !== '' || round === 1) {
          const { log, path } = this.deps;
          log.info({ server: cluster.server, path }, 'Kubernetes is watched');
        }
        this.lastFailure = '';
        this.deps.onChange(this.objects);
        this.watch(cluster);
      },
      (error: unknown) => {
        if (!isCurrent()) return;
        if (statusOf(error) === FORBIDDEN) this.deps.onForbidden?.();
        this.retry(error);
      },
    );
  }

  /** @returns undefined when it is not wanted any more */
  private async readAll(isCurrent: () => boolean): Promise<Cluster | undefined> {
    const { open, path, pick } = this.deps;
    const cluster = open();
    const found = new Map<string, T>();
    let version = '';
    let next = '';
    do {
      const more = next === '' ? '' : `&continue=${encodeURIComponent(next)}`;
      const page = await cluster.get(`${path}?limit=${PAGE}${more}`);
      if (!isCurrent()) return undefined;
      for (const object of arrayOf(member(page, 'items'))) {
        const picked = pick(object);
        if (picked !== undefined && found.size < OBJECTS_MAX) found.set(keyOf(object), picked);
      }
      version = textOf(member(member(page, 'metadata'), 'resourceVersion'));
      next = textOf(member(member(page, 'metadata'), 'continue'));
    } while (next !== '');
    this.objects = found;
    this.version = version;
    return cluster;
  }

  private watch(cluster: Cluster): void {
    const round = this.begin();
    const { watchS, graceMs } = this.times;
    this.watchedSince = performance.now();
    this.timer = setTimeout(() => this.list(), watchS * 1_000 + graceMs);
    this.endWatch = cluster.watch({
      path: this.deps.path,
      query: {
        resourceVersion: this.version,
        allowWatchBookmarks: 'true',
        timeoutSeconds: `${watchS}`,
      },
      onEvent: (event) => {
        if (round === this.round && !this.isClosed) this.onEvent(event);
      },
      onEnd: (error) => {
        if (round !== this.round || this.isClosed) return;
        if (error === undefined && this.hasWatched) this.watch(cluster);
        else this.retry(error ?? new Error('its watch ends at once'));
      },
    });
  }

  private get hasWatched(): boolean {
    return performance.now() - this.watchedSince >= this.times.shortMs;
  }

  private onEvent({ type, object }: ObjectEvent): void {
    if (type === 'ERROR') {
      const text = textOf(member(object, 'message')) || 'its watch failed';
      this.retry(new ClusterError(Number(member(object, 'code')), text));
      return;
    }
    const version = textOf(member(member(object, 'metadata'), 'resourceVersion'));
    if (version !== '') this.version = version;
    if (type === 'BOOKMARK') return;
    const key = keyOf(object);
    const picked = type === 'DELETED' ? undefined : this.deps.pick(object);
    if (picked !== undefined && (this.objects.has(key) || this.objects.size < OBJECTS_MAX)) {
      this.objects.set(key, picked);
    } else if (!this.objects.delete(key)) return;
    this.deps.onChange(this.objects);
  }

  private retry(error: unknown): void {
    this.begin();
    if (this.hasWatched) this.retryMs = this.times.firstRetryMs;
    this.watchedSince = Number.POSITIVE_INFINITY;
    const why = error instanceof Error ? error.message : String(error);
    if (why !== this.lastFailure && statusOf(error) !== GONE) {
      const { log, path } = this.deps;
      log.info({ path, why }, 'Kubernetes is not watched: trying again');
      this.lastFailure = why;
    }
    const delay = this.retryMs;
    this.retryMs = Math.min(2 * delay, this.times.lastRetryMs);
    this.timer = setTimeout(() => this.list(), delay);
  }
}

const statusOf = (error: unknown): number | undefined =>
  error instanceof ClusterError ? error.status : undefined;

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

function keyOf(object: unknown): string {
  const metadata = member(object, 'metadata');
  return `${textOf(member(metadata, 'namespace'))}/${textOf(member(metadata, 'name'))}`;
}
