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
import type { CountChange } from './sightings.ts';
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

/** What sockets want at one place. */
interface Claim {
  readonly key: string;
  readonly ports: WantedPort[];
}

/** How many sockets are on a port, and each loopback reaches. */
interface Reach {
  of4: number;
  of6: number;
  sockets: number;
}

export class Places {
  /** When a place that is held back may come. */
  nextAt: Instant = NEVER;
  private readonly deps: PlacesDeps;
  /** Those of sockets that count. */
  private readonly judged = new Map<BoundSocket, Judged>();
  private readonly claims = new Map<string, Claim>();
  private readonly here = new Map<string, WantedPort>();
  /** When those that are wanted have come. */
  private readonly cameAt = new Map<string, Instant>();
  /** Of those that went a moment ago, when they had come. */
  private readonly gone = new Map<string, Instant>();
  /** When each of those that are held back may come. */
  private readonly held = new Map<string, Instant>();
  private readonly beyond = new Set<string>();
  private touched = new Set<string>();
  /** Of TCP ports, by {@link portIn}. */
  private readonly reach = new Map<number, Reach>();

  constructor(deps: PlacesDeps) {
    this.deps = deps;
  }

  /** The same object, however often it changes. */
  get wanted(): ReadonlyMap<string, WantedPort> {
    return this.here;
  }

  /** @returns keys of what is wanted, or no more, or otherwise, since the last time */
  takeTouched(): ReadonlySet<string> {
    const { touched } = this;
    this.touched = new Set();
    return touched;
  }

  /** How many more there are than may be. */
  get leftOut(): number {
    return this.beyond.size;
  }

  /** @returns the loopbacks that reach a TCP port; undefined: it does not appear */
  familiesAt(netns: number | undefined, port: number): Families | undefined {
    const reach = this.reach.get(portIn(netns, port));
    return reach === undefined ? undefined : { has4: reach.of4 > 0, has6: reach.of6 > 0 };
  }

  update(now: Instant, { added, removed }: CountChange): void {
    for (const [key, at] of this.gone) if (now - at >= CALM_MS) this.gone.delete(key);
    // These first: one that takes the place of another does not withdraw it.
    for (const socket of added) this.add(now, socket);
    for (const socket of removed) this.remove(now, socket);
    this.promote(now);
  }

  private add(now: Instant, socket: BoundSocket): void {
    const judged = this.judge(socket);
    this.judged.set(socket, judged);
    this.count(socket, judged, 1);
    for (const { key, port } of judged.wishes) {
      const claim = this.claims.get(key);
      if (claim === undefined) {
        this.claims.set(key, { key, ports: [port] });
        this.come(now, key, port);
      } else {
        claim.ports.push(port);
        this.choose(claim);
      }
    }
  }

  private remove(now: Instant, socket: BoundSocket): void {
    const judged = this.judged.get(socket);
    if (judged === undefined) return;
    this.judged.delete(socket);
    this.count(socket, judged, -1);
    for (const { key, port } of judged.wishes) {
      const claim = this.claims.get(key);
      const at = claim?.ports.indexOf(port) ?? -1;
      if (claim === undefined || at < 0) continue;
      claim.ports.splice(at, 1);
      if (claim.ports.length === 0) this.go(now, key);
      else this.choose(claim);
    }
  }

  private count({ protocol, port }: BoundSocket, judged: Judged, by: 1 | -1): void {
    if (protocol !== 'tcp' || judged.wishes.length === 0) return;
    const { netns, families } = judged;
    const at = portIn(netns, port);
    const reach = this.reach.get(at) ?? { of4: 0, of6: 0, sockets: 0 };
    reach.sockets += by;
    if (families.has4) reach.of4 += by;
    if (families.has6) reach.of6 += by;
    if (reach.sockets === 0) this.reach.delete(at);
    else this.reach.set(at, reach);
  }

  private come(now: Instant, key: string, port: WantedPort): void {
    const before = this.gone.get(key);
    if (before !== undefined && now - before < CALM_MS) {
      this.held.set(key, before + CALM_MS);
    } else if (this.here.size >= PLACES_MAX) {
      this.beyond.add(key);
    } else {
      this.here.set(key, port);
      this.touched.add(key);
      this.cameAt.set(key, now);
    }
  }

  private go(now: Instant, key: string): void {
    const came = this.cameAt.get(key);
    if (came !== undefined && now - came < CALM_MS) this.gone.set(key, came);
    this.claims.delete(key);
    if (this.here.delete(key)) this.touched.add(key);
    this.cameAt.delete(key);
    this.held.delete(key);
    this.beyond.delete(key);
  }

  /** What sockets that share a place want there. */
  private choose({ key, ports }: Claim): void {
    if (!this.here.has(key)) return;
    this.here.set(key, bestOf(ports));
    this.touched.add(key);
  }

  private promote(now: Instant): void {
    this.nextAt = NEVER;
    for (const [key, at] of this.held) {
      if (at > now) this.nextAt = Math.min(this.nextAt, at);
      else this.again(now, key, this.held);
    }
    for (const key of this.beyond) {
      if (this.here.size >= PLACES_MAX) break;
      this.again(now, key, this.beyond);
    }
  }

  private again(now: Instant, key: string, from: { delete(key: string): boolean }): void {
    from.delete(key);
    const ports = this.claims.get(key)?.ports ?? [];
    if (ports.length > 0) this.come(now, key, bestOf(ports));
  }

  private judge(socket: BoundSocket): Judged {
    const { rules } = this.deps;
    const namespace = this.deps.namespaceOf?.(socket);
    const netns = namespace?.inode;
    const isLeftOut = namespace === undefined && this.deps.isLeftOut(socket);
    const rule = isLeftOut ? undefined : ruleFor(rules, socket, namespace);
    if (rule === undefined) return NOTHING;
    return {
      wishes: placesOf(socket, rule, netns).map((port) => ({ key: portKey(port), port })),
      families: familiesOf(socket),
      netns,
    };
  }
}

const PORTS = 1 << 16;

/** @param netns the inode of a namespace; undefined: the agent's */
const portIn = (netns: number | undefined, port: number): number => (netns ?? 0) * PORTS + port;

/** @param ports at least one */
function bestOf(ports: readonly WantedPort[]): WantedPort {
  return ports.reduce((best, port) => (isBetter(port, best) ? port : best));
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
