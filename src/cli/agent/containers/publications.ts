/**
 * The ports that are wanted, each held on the host by a lease of its own: what is wanted no more is withdrawn at once, and
 * what the host refuses is asked for again, with back-off, until it is free. The leases end with this process.
 */
import type { Log } from '../../../base/log.ts';
import type { ControlEndpoint } from '../../docker-proxy/endpoint.ts';
import { LEASE_TIMES, Lease, type LeaseTimes } from '../../docker-proxy/lease.ts';
import type { WantedPort } from './published-ports.ts';

export interface PublicationsDeps {
  readonly log: Log;
  /** The host's guest API, through the agent. */
  readonly endpoint: ControlEndpoint;
  readonly times?: LeaseTimes;
}

interface Publication {
  readonly wanted: WantedPort;
  readonly lease: Lease;
}

export class Publications {
  private readonly deps: PublicationsDeps;
  private readonly held = new Map<string, Publication>();

  constructor(deps: PublicationsDeps) {
    this.deps = deps;
  }

  get size(): number {
    return this.held.size;
  }

  /** Let exactly these be published. */
  reconcile(wanted: ReadonlyMap<string, WantedPort>): void {
    for (const [key, { wanted: before, lease }] of this.held) {
      const now = wanted.get(key);
      if (now !== undefined && isSame(now, before)) continue;
      lease.close();
      this.held.delete(key);
      this.deps.log.info({ port: key }, 'port withdrawn');
    }
    for (const [key, port] of wanted) {
      if (!this.held.has(key)) this.publish(key, port);
    }
  }

  close(): void {
    this.reconcile(new Map());
  }

  private publish(key: string, wanted: WantedPort): void {
    const { log, endpoint, times = LEASE_TIMES } = this.deps;
    let last = '';
    const say = (why: string): void => {
      if (why !== last) log.info({ port: key, why }, 'port not published yet');
      last = why;
    };
    const lease = new Lease(
      {
        endpoints: () => [endpoint],
        ask: () => ({ ...wanted, via: 'mux', lease: 'connection' }),
        isCovered: () => Promise.resolve(false),
        say,
      },
      times,
    );
    this.held.set(key, { wanted, lease });
    lease.open().then(
      () => log.info({ port: key }, 'port published'),
      (error: unknown) => {
        say(error instanceof Error ? error.message : String(error));
        lease.retry();
      },
    );
  }
}

const isSame = (one: WantedPort, other: WantedPort): boolean =>
  one.guestAddress === other.guestAddress && one.guestPort === other.guestPort;
