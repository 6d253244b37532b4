/**
 * The places on the host of all sockets that count. Sockets that appear at one place share it: it goes with the last. A
 * place that was withdrawn comes again {@link CALM_MS} after it had come, at the earliest, so that it does not flap.
 */
import { type Instant, NEVER } from '../../../base/time.ts';
import type { BoundSocket } from '../../../native/posix.ts';
import { portKey, type WantedPort } from '../wanted-port.ts';
import { type ListeningRule, ruleFor } from './listening-rules.ts';
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
}

const NOTHING: Judged = { wishes: [], families: { has4: false, has6: false } };

export interface PlacesDeps {
  readonly rules: readonly ListeningRule[];
  /** Sockets that do not appear, whatever the rules are. */
  isLeftOut(socket: BoundSocket): boolean;
}

export class Places {
  wanted: ReadonlyMap<string, WantedPort> = new Map();
  /** How many more there are than may be. */
  leftOut = 0;
  /** When a place that is held back may come. */
  nextAt: Instant = NEVER;
  /** Of TCP ports that appear, the loopbacks of the guest that reach them. */
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
      if (socket.protocol === 'tcp')
        families.set(socket.port, merged(families, socket.port, judged));
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
    const rule = this.deps.isLeftOut(socket) ? undefined : ruleFor(this.deps.rules, socket);
    const judged =
      rule === undefined
        ? NOTHING
        : {
            wishes: placesOf(socket, rule).map((port) => ({ key: portKey(port), port })),
            families: familiesOf(socket),
          };
    this.judged.set(socket, judged);
    return judged;
  }
}

function merged(
  known: ReadonlyMap<number, Families>,
  port: number,
  { families: { has4, has6 } }: Judged,
): Families {
  const before = known.get(port);
  return { has4: has4 || before?.has4 === true, has6: has6 || before?.has6 === true };
}

/** Of two targets of one place, the loopback of IPv4 comes first. */
const isBetter = (one: WantedPort, other: WantedPort): boolean =>
  other.guestAddress !== '127.0.0.1' &&
  (one.guestAddress === '127.0.0.1' || one.guestAddress < other.guestAddress);
