/** `--publish-listening`: the sockets that listen in the guest, on the host, for as long as the agent runs. */
import type { Log } from '../../../base/log.ts';
import type { Clock } from '../../../base/time.ts';
import type { Destination } from '../../../mux/destination.ts';
import { loadPosix } from '../../../native/load.ts';
import { NODE_TIMERS } from '../../../native/node-timers.ts';
import type { BoundSocket, BoundSockets, Posix } from '../../../native/posix.ts';
import { STREAM_BINDINGS } from '../../../native/stream/bindings.ts';
import type { Ways } from '../../../proxy/agent/target-dialer.ts';
import { LOOPBACK4, LOOPBACK6 } from '../../../proxy/ports/loopback-pair.ts';
import { Publications, type PublicationsDeps } from '../publications.ts';
import { watchEnds } from './ends.ts';
import { EphemeralPorts } from './ephemeral-ports.ts';
import { withEvents } from './evented-sockets.ts';
import { KernelSockets, READ_FROM_TABLES } from './kernel-sockets.ts';
import { type ListeningRule, wantedNamespaces, wantsUdp } from './listening-rules.ts';
import { ListeningWatch, type ListeningWatchDeps } from './listening-watch.ts';
import { type InnerAddress, parseInner } from './netns/inner-address.ts';
import { NamespaceSockets } from './netns/namespace-sockets.ts';
import { Places } from './places.ts';
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
  /** Undefined: no other namespace is looked at. */
  private namespaces: NamespaceSockets | undefined = undefined;

  constructor(deps: ListeningPortsDeps) {
    this.deps = deps;
    const { log, connect, rules } = deps;
    this.places = new Places({
      rules,
      isLeftOut: (socket) => this.isLeftOut(socket),
      namespaceOf: (socket) => this.namespaces?.namespaceOf(socket),
    });
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

  /** The loopbacks that reach a port that appears, those of IPv4 first; in its namespace. */
  waysTo(target: Destination): Ways | undefined {
    if (target.proto !== 'tcp') return undefined;
    const inner = parseInner(target.address);
    const { port } = target;
    const families = this.places.familiesAt(inner?.inode, port);
    if (families === undefined) return undefined;
    const address = inner?.address ?? target.address;
    const isLoopback = address.equals(LOOPBACK4) || address.equals(LOOPBACK6);
    if (!isLoopback && inner === undefined) return undefined;
    const targets = isLoopback
      ? [
          ...(families.has4 ? [{ ...target, address: LOOPBACK4 }] : []),
          ...(families.has6 ? [{ ...target, address: LOOPBACK6 }] : []),
        ]
      : [{ ...target, address }];
    const ways = { targets, timeoutMs: WAY_TIMEOUT_MS };
    return inner === undefined ? ways : { ...ways, ...this.within(inner) };
  }

  /** What is dialled for `target`. */
  insideOf(target: Destination): Destination {
    if (target.proto !== 'tcp') return target;
    return { ...target, address: parseInner(target.address)?.address ?? target.address };
  }

  private within({ inode }: InnerAddress): Pick<Ways, 'within'> {
    const { namespaces } = this;
    if (namespaces === undefined) return {};
    return { within: (run) => namespaces.within(inode, run) };
  }

  private source(withUdp: boolean): Pick<ListeningWatchDeps, 'sockets' | 'watchEnds'> {
    const { log, rules } = this.deps;
    const others = wantedNamespaces(rules);
    try {
      const posix = loadPosix('watch sockets that listen', 'read /proc/net/tcp');
      const own = new KernelSockets({ posix, log, withUdp });
      if (others !== 'none' && STREAM_BINDINGS !== null) {
        return this.withOthers(posix, own, others === 'all');
      }
      const sockets = withUdp ? own : withEvents(own, posix, this.deps);
      return { sockets, watchEnds: (onEnd) => watchEnds(posix, log, onEnd) };
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      log.info({ why }, READ_FROM_TABLES);
      if (others !== 'none')
        log.warn({}, 'other network namespaces are looked at with koffi alone');
      return { sockets: new ProcBoundSockets(withUdp) };
    }
  }

  private withOthers(
    posix: Posix,
    own: BoundSockets,
    withUnnamed: boolean,
  ): Pick<ListeningWatchDeps, 'sockets' | 'watchEnds'> {
    const namespaces = new NamespaceSockets({ ...this.deps, posix, own, withUnnamed });
    this.namespaces = namespaces;
    return { sockets: namespaces, watchEnds: (onEnd) => namespaces.watchEnds(onEnd) };
  }

  private isLeftOut({ protocol, address, port }: BoundSocket): boolean {
    if (protocol === 'udp') return this.ephemeral.includes(port);
    return this.deps.isOwn(address.toString(), port);
  }

  private onPlaces(): void {
    const { wanted, leftOut } = this.places;
    this.publications.reconcile(wanted, leftOut, this.places.takeTouched());
  }
}
