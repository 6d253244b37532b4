/**
 * Verdicts for whoever follows them: each by itself, until a guest has had so many within a second. The rest of that
 * second is one for each kind, with how many there were. For nobody, nothing is made.
 */
import type { Clock, Instant } from '../../base/time.ts';
import type { Guest } from '../../stack/guest.ts';
import type { Block } from './destination.ts';
import type { Evidence } from './flow.ts';
import type { FlowFeed } from './flow-feed.ts';
import type { GuestNames } from './guest-names.ts';
import type { AllowedFlow, VerdictKind, VerdictRecord } from './verdict.ts';

/** Of one guest. */
export const VERDICTS_A_SECOND = 200;
const SECOND_MS = 1_000;
const SNI: Evidence = 'sni';

export interface VerdictFeedDeps {
  readonly clock: Pick<Clock, 'now'>;
  readonly names: Pick<GuestNames, 'all'>;
  readonly feed: Pick<FlowFeed, 'add'>;
}

/** More than there may be of one kind: the first of them, and how many. */
interface Rest {
  readonly verdict: VerdictRecord;
  count: number;
}

class Second {
  readonly since: Instant;
  /** Verdicts in it that were told each by itself. */
  told = 0;
  readonly rest = new Map<VerdictKind, Rest>();

  constructor(since: Instant) {
    this.since = since;
  }
}

export class VerdictFeed {
  /** Asked for each. */
  isWanted: () => boolean = () => false;
  private readonly deps: VerdictFeedDeps;
  private readonly limit: number;
  private readonly seconds = new WeakMap<Guest, Second>();
  /** Those that have a rest. */
  private readonly full = new Set<Second>();
  private timer: NodeJS.Timeout | undefined = undefined;

  constructor(deps: VerdictFeedDeps, limit: number = VERDICTS_A_SECOND) {
    this.deps = deps;
    this.limit = limit;
  }

  onAllowed(flow: AllowedFlow): void {
    if (this.isWanted()) this.add('allowed', flow.owner, () => this.recordOf(flow));
  }

  onBlock(block: Block): void {
    if (!this.isWanted()) return;
    const kind = block.isObserved === true ? 'observed' : 'denied';
    this.add(kind, block.owner, () => this.denied(kind, block));
  }

  recordOf({ owner, protocol, place, remote, port, rule, stated }: AllowedFlow): VerdictRecord {
    const how =
      stated === undefined ? this.found({ owner, remote }) : { name: stated, evidence: SNI };
    const to = { owner, protocol, place, remote, port };
    return { kind: 'allowed', ...to, ...how, why: undefined, rule };
  }

  /** Tell what there is. */
  settle(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    for (const { rest } of this.full) {
      for (const { verdict, count } of rest.values()) this.tell(verdict, count);
      rest.clear();
    }
    this.full.clear();
  }

  private add(kind: VerdictKind, owner: Guest, make: () => VerdictRecord): void {
    const second = this.secondOf(owner);
    if (second.told < this.limit) {
      second.told++;
      this.tell(make(), 1);
      return;
    }
    const more = second.rest.get(kind);
    if (more !== undefined) {
      more.count++;
      return;
    }
    second.rest.set(kind, { verdict: make(), count: 1 });
    this.full.add(second);
    this.timer ??= setTimeout(() => this.settle(), SECOND_MS).unref();
  }

  private tell(verdict: VerdictRecord, count: number): void {
    this.deps.feed.add({ kind: 'verdict', verdict, count });
  }

  private secondOf(owner: Guest): Second {
    const now = this.deps.clock.now();
    const known = this.seconds.get(owner);
    if (known !== undefined && (now - known.since < SECOND_MS || known.rest.size > 0)) return known;
    const made = new Second(now);
    this.seconds.set(owner, made);
    return made;
  }

  private denied(kind: VerdictKind, block: Block): VerdictRecord {
    const { owner, protocol, remote, port, place, why, rule } = block;
    const { name, evidence } = this.nameOf(block);
    return { kind, owner, protocol, place, remote, port, why, rule, name, evidence };
  }

  private nameOf(block: Block): Pick<VerdictRecord, 'name' | 'evidence'> {
    const { name, stated } = block;
    if (stated?.name !== undefined) return { name: stated.name, evidence: SNI };
    if (block.remote === undefined) return { name, evidence: 'asked' };
    return this.found(block);
  }

  private found({
    owner,
    remote,
  }: Pick<Block, 'owner' | 'remote'>): Pick<VerdictRecord, 'name' | 'evidence'> {
    const { clock, names } = this.deps;
    const all = remote === undefined ? [] : names.all(clock.now(), owner, remote);
    const name = all.at(-1);
    if (name === undefined) return { name, evidence: undefined };
    return { name, evidence: all.length > 1 ? 'inferred' : 'asked' };
  }
}
