/** The flow book as the control API sees it. */
import type { Clock } from '../base/time.ts';
import type {
  BlockView,
  FlowCount,
  FlowFeedEvent,
  FlowsView,
  FlowView,
  VerdictEvent,
  VerdictView,
} from '../control/flow-view.ts';
import type { Block } from '../proxy/flows/destination.ts';
import { FLOW_PROTOCOLS, type FlowRecord } from '../proxy/flows/flow.ts';
import type { FlowBook } from '../proxy/flows/flow-book.ts';
import type { FlowEvent } from '../proxy/flows/flow-feed.ts';
import type { VerdictRecord } from '../proxy/flows/verdict.ts';
import type { Lease } from '../services/dhcp/lease.ts';
import type { TcpFlowInfo } from '../stack/flow.ts';
import type { Guest } from '../stack/guest.ts';
import { formatMac } from '../wire/mac.ts';
import { LeaseNames } from './lease-names.ts';
import { fineMs, wholeMs } from './view-numbers.ts';

const PART = 32;

export interface FlowViewsDeps {
  readonly book: FlowBook;
  readonly clock: Pick<Clock, 'now'>;
  readonly leases: () => readonly Lease[];
}

export class FlowViews implements FlowsView {
  private readonly deps: FlowViewsDeps;
  /** Read again at most once in a turn, for events. */
  private names: LeaseNames | undefined = undefined;

  constructor(deps: FlowViewsDeps) {
    this.deps = deps;
  }

  *parts(after: number): Generator<readonly FlowView[], void> {
    const { book } = this.deps;
    const names = this.readNames();
    for (let last = after; ; ) {
      const flows = book.after(last, PART);
      const end = flows.at(-1);
      if (end === undefined) return;
      last = end.id;
      yield flows.map((flow) => this.viewOf(book.record(flow), names));
    }
  }

  countAfter(id: number): number {
    return this.deps.book.countAfter(id);
  }

  find(id: string): FlowView | undefined {
    const flow = this.deps.book.find(numberOf(id));
    return flow && this.viewOf(this.deps.book.record(flow), this.readNames());
  }

  close(id: string): boolean {
    return this.deps.book.close(numberOf(id));
  }

  counts(): readonly FlowCount[] {
    const { open, opened } = this.deps.book;
    return FLOW_PROTOCOLS.map((protocol) => ({
      protocol,
      open: open[protocol],
      opened: opened[protocol],
    }));
  }

  follow(listener: (event: FlowFeedEvent) => void): () => void {
    return this.deps.book.feed.follow((event) => {
      if (event.kind !== 'verdict') listener(this.eventOf(event));
    });
  }

  /** As {@link FlowFeed.followWhile}. */
  followWhile(
    isWanted: () => boolean,
    listener: (event: FlowFeedEvent | VerdictEvent) => void,
  ): void {
    this.deps.book.feed.followWhile(isWanted, (event) => {
      if (event.kind !== 'verdict') listener(this.eventOf(event));
      else {
        const { verdict, count } = event;
        listener({ kind: verdict.kind, verdict: this.verdictOf(verdict), count });
      }
    });
  }

  verdictOf({
    owner,
    protocol,
    place,
    remote,
    port,
    name,
    evidence,
    why,
    rule,
  }: VerdictRecord): VerdictView {
    const { guestId, guestName, guestMac } = this.whoIs(owner);
    return {
      guestId,
      guestName,
      guestMac,
      protocol,
      place: place ?? null,
      remoteAddress: remote?.toString() ?? null,
      remotePort: port,
      name: name ?? null,
      evidence: evidence ?? null,
      why: why ?? null,
      rule: rule ?? null,
    };
  }

  private eventOf(event: Exclude<FlowEvent, { readonly kind: 'verdict' }>): FlowFeedEvent {
    switch (event.kind) {
      case 'opened':
        return { kind: 'opened', flow: this.viewOf(event.flow, this.namesNow()), why: null };
      case 'ended':
        return { kind: 'ended', flow: this.viewOf(event.flow, this.namesNow()), why: event.why };
      case 'blocked':
        return {
          kind: event.block.isObserved === true ? 'observed' : 'blocked',
          block: this.blockOf(event.block, this.namesNow()),
        };
      case 'missed':
        return event;
    }
  }

  private viewOf(
    { id, protocol, owner, since, name, evidence, facts }: FlowRecord,
    names: LeaseNames,
  ): FlowView {
    const { guest, remote, tcp } = facts;
    const now = this.deps.clock.now();
    const guestAddress = guest.address?.toString() ?? null;
    return {
      id: String(id),
      protocol,
      openedBy: facts.openedBy,
      via: facts.via,
      service: facts.service ?? null,
      publication: facts.publication ?? null,
      guestId: owner === undefined || owner.id === 0 ? null : owner.id,
      guestName: names.at(guestAddress) ?? names.of(owner),
      guestAddress,
      guestPort: guest.port ?? null,
      guestPath: guest.path ?? null,
      remoteAddress: remote.address?.toString() ?? null,
      dialledAddress: facts.dialled ?? null,
      proxy: facts.proxy ?? null,
      remotePort: protocol === 'icmp' ? 0 : (remote.port ?? null),
      remotePath: remote.path ?? null,
      name: name ?? null,
      evidence: evidence ?? null,
      rule: facts.verdict?.rule ?? null,
      state: facts.state,
      bytesToHost: facts.bytesToHost,
      bytesToGuest: facts.bytesToGuest,
      packetsToHost: facts.packetsToHost ?? null,
      packetsToGuest: facts.packetsToGuest ?? null,
      ageMs: wholeMs(now - since),
      idleMs: wholeMs(now - Math.max(facts.lastAt, since)),
      tcp: tcp === undefined ? null : tcpView(tcp),
    };
  }

  private blockOf(
    { owner, protocol, remote, port, name, why, rule }: Block,
    names: LeaseNames,
  ): BlockView {
    const { guestId, guestName, guestMac } = guestOf(owner, names);
    return {
      guestId,
      guestName,
      guestMac,
      protocol,
      remoteAddress: remote?.toString() ?? null,
      remotePort: port,
      name: name ?? null,
      why,
      rule: rule ?? null,
    };
  }

  /** A guest, in an event. */
  whoIs(owner: Guest): GuestName {
    return guestOf(owner, this.namesNow());
  }

  private namesNow(): LeaseNames {
    if (this.names === undefined) {
      this.names = this.readNames();
      setImmediate(() => {
        this.names = undefined;
      });
    }
    return this.names;
  }

  private readNames(): LeaseNames {
    return new LeaseNames(this.deps.leases());
  }
}

type GuestName = Pick<BlockView, 'guestId' | 'guestName' | 'guestMac'>;

function guestOf(owner: Guest, names: LeaseNames): GuestName {
  const [mac] = owner.macs;
  const guestMac = mac === undefined ? null : formatMac(mac);
  return { guestId: owner.id, guestName: names.of(owner), guestMac };
}

const tcpView = (tcp: TcpFlowInfo): FlowView['tcp'] => ({
  srttMs: fineMs(tcp.srttMs),
  cwndBytes: tcp.cwndBytes,
  retransmits: tcp.retransmits,
  bufferedToHost: tcp.bufferedToHost,
  bufferedToGuest: tcp.bufferedToGuest,
});

const numberOf = (id: string): number => (/^[1-9]\d{0,15}$/.test(id) ? Number(id) : 0);
