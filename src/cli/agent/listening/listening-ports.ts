/** `--publish-listening`: the sockets that listen in the guest, on the host, for as long as the agent runs. */
import type { Log } from '../../../base/log.ts';
import type { Clock } from '../../../base/time.ts';
import type { Destination } from '../../../mux/destination.ts';
import { loadPosix } from '../../../native/load.ts';
import { NODE_TIMERS } from '../../../native/node-timers.ts';
import type { BoundSocket, BoundSockets } from '../../../native/posix.ts';
import { watchSocketEnds } from '../../../native/socket-ends.ts';
import type { Ways } from '../../../proxy/agent/target-dialer.ts';
import { LOOPBACK4, LOOPBACK6 } from '../../../proxy/ports/loopback-pair.ts';
import { Publications, type PublicationsDeps } from '../publications.ts';
import { EphemeralPorts } from './ephemeral-ports.ts';
import { type ListeningRule, wantsUdp } from './listening-rules.ts';
import { ListeningWatch, type ListeningWatchDeps } from './listening-watch.ts';
import { PLACES_MAX, Places } from './places.ts';
import { ProcBoundSockets } from './proc-bound-sockets.ts';

export interface ListeningPortsDeps {
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
  readonly rules: readonly ListeningRule[];
  /** Whether the agent itself listens there. */
  isOwn(address: string, port: number): boolean;
  readonly connect: PublicationsDeps['connect'];
}

/** A filter of sockets, as Docker Engine 29 sets it, lets a client of one family wait for ever. */
const WAY_TIMEOUT_MS = 1_000;

export class ListeningPorts {
  private readonly deps: ListeningPortsDeps;
  private readonly places: Places;
  private readonly publications: Publications;
  private readonly ephemeral = new EphemeralPorts();
  private watch: ListeningWatch | undefined = undefined;
  private wasBeyond = false;

  constructor(deps: ListeningPortsDeps) {
    this.deps = deps;
    const { log, connect, rules } = deps;
    this.places = new Places({ rules, isLeftOut: (socket) => this.isLeftOut(socket) });
    this.publications = new Publications({ log, source: 'listening sockets', connect });
  }

  start(): void {
    const { clock, log, rules } = this.deps;
    if (rules.length === 0) return; // nothing can appear
    const { places } = this;
    const shared = { clock, timers: NODE_TIMERS, log, places, onPlaces: () => this.onPlaces() };
    this.watch = new ListeningWatch({ ...shared, ...this.source(wantsUdp(rules)) });
    this.watch.start();
  }

  close(): void {
    this.watch?.close();
    this.publications.close();
  }

  /** The loopbacks that reach a port that appears, those of IPv4 first. */
  waysTo(target: Destination): Ways | undefined {
    if (target.proto !== 'tcp') return undefined;
    const { address, port } = target;
    const families = this.places.families.get(port);
    if (families === undefined || !(address.equals(LOOPBACK4) || address.equals(LOOPBACK6))) {
      return undefined;
    }
    const targets = [
      ...(families.has4 ? [{ ...target, address: LOOPBACK4 }] : []),
      ...(families.has6 ? [{ ...target, address: LOOPBACK6 }] : []),
    ];
    return { targets, timeoutMs: WAY_TIMEOUT_MS };
  }

  private source(withUdp: boolean): Pick<ListeningWatchDeps, 'sockets' | 'watchEnds'> {
    const { log } = this.deps;
    try {
      const posix = loadPosix('watch sockets that listen', 'read /proc/net/tcp');
      const sockets: BoundSockets = posix.openBoundSockets(withUdp);
      const watchEnds = (onEnd: (port: number) => void): { close(): void } => {
        try {
          return watchSocketEnds(posix, onEnd);
        } catch (error) {
          log.debug({ err: error }, 'the kernel does not tell of sockets that end');
          return { close: () => {} };
        }
      };
      return { sockets, watchEnds };
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      log.info({ why }, 'sockets that listen are read from /proc/net/tcp, which costs more');
      return { sockets: new ProcBoundSockets(withUdp) };
    }
  }

  private isLeftOut({ protocol, address, port }: BoundSocket): boolean {
    if (protocol === 'udp') return this.ephemeral.includes(port);
    return this.deps.isOwn(address.toString(), port);
  }

  private onPlaces(): void {
    const { wanted, leftOut } = this.places;
    if (leftOut > 0 && !this.wasBeyond) {
      this.deps.log.warn(
        { ports: PLACES_MAX, leftOut },
        'so many ports are published, and no more',
      );
    }
    this.wasBeyond = leftOut > 0;
    this.publications.reconcile(wanted, leftOut);
  }
}
