/**
 * The sets of wanted ports, one of a connection, and what the agents behind one link may do with them: so many sets, so
 * often a new one, so many ports bound.
 */
import type { Duplex } from 'node:stream';
import type { Log } from '../../base/log.ts';
import { Allowance } from '../../base/shares/allowance.ts';
import type { Clock } from '../../base/time.ts';
import type { WaitingPorts } from '../../proxy/ports/waiting-ports.ts';
import { problem } from '../problem.ts';
import type { PortAccess } from './port-access.ts';
import { WantedPorts } from './wanted-ports.ts';

/** Of one link: one for each source of ports that an agent has. */
export const SETS_OF_LINK = 8;
/** Work at once, and a second: a set of this many ports is one, and costs some 0.5 ms to read. */
const PORTS_OF_WORK = 128;
const WORK_BURST = 64;
const WORK_PER_SECOND = 24;
/** Binds at once, and a second: each costs a system call or three. */
const BINDS_BURST = 4_096;
const BINDS_PER_SECOND = 200;

export interface WantedSetsDeps {
  readonly waiting: WaitingPorts;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
}

interface OfLink {
  readonly sets: Map<Duplex, WantedPorts>;
  readonly requests: Allowance;
  readonly binds: Allowance;
}

export class WantedSets {
  private readonly deps: WantedSetsDeps;
  /** By their names, which the configuration gives. */
  private readonly links = new Map<string, OfLink>();

  constructor(deps: WantedSetsDeps) {
    this.deps = deps;
  }

  /**
   * The set of a connection, when the link may send so many ports again.
   *
   * @throws ProblemError
   */
  async of(
    link: string,
    connection: Duplex,
    access: PortAccess,
    ports: number,
  ): Promise<WantedPorts> {
    const { sets, requests, binds } = this.linkOf(link);
    if (connection.destroyed) throw problem(400, 'The connection has ended.');
    if (!sets.has(connection) && sets.size >= SETS_OF_LINK) {
      throw problem(503, `There are ${SETS_OF_LINK} sets of ports already: end a connection.`);
    }
    const known = sets.get(connection);
    const set =
      known ??
      new WantedPorts({ ...this.deps, name: link, owner: { agent: link }, access, pace: binds });
    if (known === undefined) {
      sets.set(connection, set);
      connection.once('close', () => {
        sets.delete(connection);
        set.close();
      });
    }
    const { clock } = this.deps;
    const work = 1 + ports / PORTS_OF_WORK;
    for (let ms = requests.take(clock.now(), work); ms > 0; ms = requests.take(clock.now(), work)) {
      await new Promise((resolve) => {
        setTimeout(resolve, ms).unref();
      });
    }
    return set;
  }

  private linkOf(link: string): OfLink {
    const known = this.links.get(link);
    if (known !== undefined) return known;
    const made: OfLink = {
      sets: new Map(),
      requests: new Allowance(WORK_BURST, WORK_PER_SECOND),
      binds: new Allowance(BINDS_BURST, BINDS_PER_SECOND),
    };
    this.links.set(link, made);
    return made;
  }
}
