/**
 * The places on the host of all sockets that count. Sockets that appear at one place share it: it goes with the last. A
 * place that was withdrawn comes again {@link CALM_MS} after it had come, at the earliest, so that it does not flap.
 */
import { type Instant, NEVER } from '../../../base/time.ts';
import type { BoundSocket } from '../../../native/posix.ts';
import { portKey, type WantedPort } from '../wanted-port.ts';
import { type ListeningRule, ruleFor } from './listening-rules.ts';
import { isInnerText } from './netns/inner-address.ts';
import type { Namespace } from './netns/namespaces.ts';
import { type Families, familiesOf, placesOf } from './socket-places.ts';

export const CALM_MS = 1_000;
/** Each is a socket of the host. */
export const PLACES_MAX = 2_000;

interface Wish {
  readonly key: string;
  readonly port: WantedPort;
}

/** What a socket comes to. */
interface Judged {
  readonly wishes: readonly Wish[];
  readonly families: Families;
  /** The inode of its namespace; undefined: the agent's. */
  readonly netns: number | undefined;
}

const NOTHING: Judged = {
  wishes: [],
  families: { has4: false, has6: false },
  netns: undefined,
};

export interface PlacesDeps {
  readonly rules: readonly ListeningRule[];
  /** Sockets that do not appear, whatever the rules are. */
  isLeftOut(socket: BoundSocket): boolean;
  /** Undefined: the agent's. Absent: so are all. */
  namespaceOf?(socket: BoundSocket): Namespace | undefined;
}

export class Places {
  wanted: ReadonlyMap<string, WantedPort> = new Map();
  /** How many more there are than may be. */
  leftOut = 0;
  /** When a place that is held back may come. */
  nextAt: Instant = NEVER;
  /** Of TCP ports that appear, by {@link portIn}, the loopbacks of the guest that reach them. */
  families: ReadonlyMap<number, Families> = new Map();
  private readonly deps: PlacesDeps;
  private readonly judged = new WeakMap<BoundSocket, Judged>();
  /** When those that are wanted, or were a moment ago, have come. */
  private cameAt = new Map<string, Instant>();

  constructor(deps: PlacesDeps) {
    this.deps = deps;
  }

  /** @param sockets that count now */
  update(now: Instant, sockets: Iterable<BoundSocket>): void {
    const found = new Map<string, WantedPort>();
    const families = new Map<number, Families>();
    for (const socket of sockets) {
      const judged = this.judge(socket);
      if (judged.wishes.length === 0) continue;
      if (socket.protocol === 'tcp') {
        const port = portIn(judged.netns, socket.port);
        families.set(port, merged(families, port, judged));
      }
      for (const { key, port } of judged.wishes) {
        const other = found.get(key);
        if (other === undefined || isBetter(port, other)) found.set(key, port);
      }
    }
    this.families = families;
    this.hold(now, found);
  }

  private hold(now: Instant, found: ReadonlyMap<string, WantedPort>): void {
    const wanted = new Map<string, WantedPort>();
    const cameAt = new Map<string, Instant>();
    this.nextAt = NEVER;
    this.leftOut = 0;
    for (const [key, port] of found) {
      const before = this.cameAt.get(key);
      const isHere = this.wanted.has(key);
      if (!isHere && before !== undefined && now - before < CALM_MS) {
        this.nextAt = Math.min(this.nextAt, before + CALM_MS);
        continue;
      }
      if (wanted.size >= PLACES_MAX) {
        this.leftOut++;
        continue;
      }
      wanted.set(key, port);
      cameAt.set(key, isHere && before !== undefined ? before : now);
    }
    for (const [key, at] of this.cameAt) {
      if (!cameAt.has(key) && now - at < CALM_MS) cameAt.set(key, at);
    }
    this.cameAt = cameAt;
    this.wanted = wanted;
  }

  private judge(socket: BoundSocket): Judged {
    const known = this.judged.get(socket);
    if (known !== undefined) return known;
    const { rules } = this.deps;
    const namespace = this.deps.namespaceOf?.(socket);
    const netns = namespace?.inode;
    const isLeftOut = namespace === undefined && this.deps.isLeftOut(socket);
    const rule = isLeftOut ? undefined : ruleFor(rules, socket, namespace);
    const judged =
      rule === undefined
        ? NOTHING
        : {
            wishes: placesOf(socket, rule, netns).map((port) => ({ key: portKey(port), port })),
            families: familiesOf(socket),
            netns,
          };
    this.judged.set(socket, judged);
    return judged;
  }
}

const PORTS = 1 << 16;

/** @param netns the inode of a namespace; undefined: the agent's */
export const portIn = (netns: number | undefined, port: number): number =>
  (netns ?? 0) * PORTS + port;

function merged(
  known: ReadonlyMap<number, Families>,
  port: number,
  { families: { has4, has6 } }: Judged,
): Families {
  const before = known.get(port);
  return { has4: has4 || before?.has4 === true, has6: has6 || before?.has6 === true };
}

/** Of two targets of one place, the loopback of IPv4 comes first, and the agent's namespace before others. */
function isBetter(one: WantedPort, other: WantedPort): boolean {
  const [mine, theirs] = [rankOf(one.guestAddress), rankOf(other.guestAddress)];
  return mine < theirs || (mine === theirs && one.guestAddress < other.guestAddress);
}

function rankOf(guestAddress: string): number {
  if (guestAddress === '127.0.0.1') return 0;
  return isInnerText(guestAddress) ? 2 : 1;
}
