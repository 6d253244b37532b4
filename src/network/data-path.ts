/**
 * The data path of the guests' traffic: the stack, the proxies that join its flows to sockets of the host, and their
 * one timer.
 */
import { availableParallelism } from 'node:os';
import { Counters } from '../base/counters.ts';
import { reportFault } from '../base/faults.ts';
import type { IpAddress } from '../base/ip-address.ts';
import type { Log } from '../base/log.ts';
import type { Budget } from '../base/shares/budget.ts';
import { type Clock, type Instant, NEVER } from '../base/time.ts';
import { isAddressOfHost } from '../native/address-of-host.ts';
import { openFilesLimit } from '../native/open-files-limit.ts';
import type { ConnectOptions, OutboundAddresses } from '../native/stream/connect-stream.ts';
import { AddressMap, type AddressMapConfig } from '../proxy/address-map.ts';
import { BusyPoll, defaultWindowUs } from '../proxy/busy-poll.ts';
import type { Block } from '../proxy/flows/destination.ts';
import { Destinations } from '../proxy/flows/destinations.ts';
import { FlowBook } from '../proxy/flows/flow-book.ts';
import type { FlowGate } from '../proxy/flows/flow-gate.ts';
import { GatedTcp } from '../proxy/flows/gated-tcp.ts';
import { HostAddresses } from '../proxy/flows/host-addresses.ts';
import type { OwnDns } from '../proxy/flows/own-dns.ts';
import type { ProxiesInUse } from '../proxy/flows/proxied-destinations.ts';
import { Translation } from '../proxy/flows/translation.ts';
import { VerdictFeed } from '../proxy/flows/verdict-feed.ts';
import { ImmediateFlush } from '../proxy/flush-scheduler.ts';
import { EchoProxy } from '../proxy/icmp/echo-proxy.ts';
import { Intakes } from '../proxy/intake.ts';
import type { OwnListeners } from '../proxy/own-listeners.ts';
import { GuestNeighbors } from '../proxy/policy/guest-neighbors.ts';
import { GuestPolicy } from '../proxy/policy/guest-policy.ts';
import { UdpPublisher } from '../proxy/ports/udp-publisher.ts';
import { type OnFailed, TcpProxy, type TcpProxyCount } from '../proxy/tcp/tcp-proxy.ts';
import { type TurnShare, Turns } from '../proxy/turns.ts';
import { Outboxes } from '../proxy/udp/outbox.ts';
import { SendPool } from '../proxy/udp/send-pool.ts';
import { UdpForwards } from '../proxy/udp/udp-forwards.ts';
import { UdpNat } from '../proxy/udp/udp-nat.ts';
import { ProxyUpstream } from '../proxy/upstream.ts';
import type { DatagramShared } from '../proxy/upstream-proxy/relayed-datagrams.ts';
import { VirtualListeners } from '../proxy/virtual-listeners.ts';
import type { Guest } from '../stack/guest.ts';
import { Stack } from '../stack/stack.ts';
import type { StackEvents } from '../stack/stack-config.ts';
import type { Mac } from '../wire/mac.ts';
import { type Addresses, type Ipv6Addresses, requiredAddress } from './addresses.ts';
import type { NetworkConfig } from './config.ts';
import { cryptoRandom } from './crypto-random.ts';
import { GuestDenials } from './guest-denials.ts';
import { separationConfig } from './guest-separation.ts';
import { LimitWatch } from './limit-watch.ts';
import { MemoryReturn } from './memory-return.ts';
import { NativeCalls } from './native-calls.ts';
import { flowFields } from './notes.ts';
import { openFilesNow, socketBudget } from './open-files.ts';

export interface DataPathDeps {
  readonly config: NetworkConfig;
  readonly addresses: Addresses;
  readonly ownListeners: OwnListeners;
  readonly clock: Clock;
  readonly log: Log;
  /** A guest was seen for the first time, or at another place than before. */
  readonly onGuestHeard: (address: IpAddress, mac: Mac) => void;
  /** What the rules of a policy may call a guest. */
  readonly policyNamesOf: (guest: Guest) => readonly string[];
  /** Whether a name that is answered here has this address. */
  readonly isGivenName: (name: string, address: IpAddress) => boolean;
  /** Whether a port of the host leads to a guest. */
  readonly isPublished: (protocol: 'tcp' | 'udp' | 'icmp', port: number) => boolean;
  /** A guest's link was gone for the grace: it is known still. */
  readonly beforeGuestForgotten: (owner: Guest) => void;
  /** And it is forgotten. */
  readonly onGuestGone: (owner: Guest) => void;
  /** Asked about each flow. */
  readonly gate?: FlowGate | undefined;
  /** Frame bytes carried so far, over all links. */
  readonly carried: () => number;
  readonly events: Omit<StackEvents, 'afterWork' | 'hasTime'>;
}

/** A part with deadlines, which the data path's timer serves. */
export interface TimedPart {
  /** When {@link onTimeout} has work next, or `NEVER`. */
  nextTimeout(): Instant;
  onTimeout(now: Instant): void;
}

export class DataPath {
  /** NAT64: what guests and the host's network have of it now. */
  readonly translation: Translation = new Translation();
  readonly addressMap: AddressMap;
  readonly destinations: Destinations;
  readonly policy: GuestPolicy;
  /** As guests may read them. */
  readonly denials: GuestDenials;
  readonly neighbors: GuestNeighbors;
  /** Whether an address is one of the host's own. */
  readonly isHost: (address: string) => boolean;
  /** Of upstream proxies; those in use. */
  readonly proxies: ProxiesInUse = {
    ...{ current: undefined, tunnels: undefined, relays: undefined },
  };
  /** Once there is one. */
  readonly ownDns: OwnDns = { current: undefined };
  readonly book: FlowBook;
  readonly verdicts: VerdictFeed;
  readonly stack: Stack;
  readonly flusher: ImmediateFlush;
  readonly tcp: TcpProxy;
  readonly tcpCounts: Counters<TcpProxyCount> = new Counters();
  readonly udp: UdpNat;
  /** UDP ports of the gateway that lead elsewhere. */
  readonly forwards: UdpForwards;
  readonly published: UdpPublisher;
  readonly echo: EchoProxy;
  /** TCP servers inside the guests' network. */
  readonly listeners: VirtualListeners = new VirtualListeners();
  /** Destinations refused, by reason. */
  readonly refusals: Counters<string> = new Counters();
  /** Descriptors, of all kinds. */
  readonly sockets: Budget;
  readonly shared: DatagramShared;
  /** Of connections to other hosts. */
  readonly connectOptions: ConnectOptions;
  readonly native: NativeCalls;
  readonly limitWatch: LimitWatch;
  readonly turns: Turns;
  private readonly clock: Clock;
  private readonly outboxes: Outboxes;
  private readonly busyPoll: BusyPoll;
  /** Beside those that are always there. */
  private readonly served: TimedPart[] = [];
  /** Of the stack's work that a batch has left. */
  private readonly share: TurnShare;
  private readonly gated: GatedTcp | undefined;
  private readonly memoryReturn = new MemoryReturn();
  private isClosed = false;

  constructor(deps: DataPathDeps) {
    const { config, addresses, ownListeners, clock, log, onGuestHeard, carried } = deps;
    const { subnet, gateway, dns, host, ipv6 } = addresses;
    this.clock = clock;
    this.book = new FlowBook(clock);
    const { names, feed } = this.book;
    this.verdicts = new VerdictFeed({ clock, names, feed });
    this.addressMap = new AddressMap({
      subnet,
      gateway,
      alias: dns,
      host,
      ...ofIpv6(ipv6),
      allowMetadata: config.allowMetadata,
      translation: this.translation,
    });
    const hostAddresses = new HostAddresses(isAddressOfHost, clock);
    const isHost = (address: string): boolean => hostAddresses.has(address);
    this.isHost = isHost;
    this.policy = new GuestPolicy({
      clock,
      names: this.book.names,
      namesOf: deps.policyNamesOf,
      isHost: (address) => hostAddresses.hasAddress(address),
      isPublished: deps.isPublished,
      isGiven: deps.isGivenName,
      translation: this.translation,
      otherResolvers: config.dns.others,
    });
    this.denials = new GuestDenials(this.policy.denials, clock);
    this.neighbors = new GuestNeighbors({
      ...{ policy: this.policy, addresses: this.addressMap },
      onBlock: (block) => this.onBlock(block),
    });
    this.destinations = new Destinations({
      addresses: this.addressMap,
      isOwnListener: (address, port) => ownListeners.includes(address, port),
      refusals: this.refusals,
      onBlock: (block) => this.onBlock(block),
      verdicts: this.verdicts,
      isClosedHost: config.hostAccess ? undefined : isHost,
      policy: this.policy,
      neighbors: this.neighbors,
      gate: deps.gate,
      proxies: this.proxies,
    });
    const openFiles = openFilesNow();
    this.sockets = socketBudget(openFilesLimit(), openFiles);
    const upstream = new ProxyUpstream();
    const stack = new Stack(
      {
        subnet: subnet.address,
        prefixLen: subnet.bits,
        gateway,
        alias: dns,
        host,
        ipv6: ipv6 === undefined ? undefined : { ...ipv6, alias: ipv6.dns },
        mtu: config.mtu,
        mac: addresses.mac,
        verifyChecksums: config.verifyChecksums,
        tcp: {
          linkDownGraceMs: config.linkGraceMs,
        },
        separation: separationConfig(config.separation),
      },
      clock.now(),
      cryptoRandom,
      upstream,
      {
        ...deps.events,
        onLinkDown: (now, link) => {
          deps.events.onLinkDown?.(now, link);
          this.flusher.schedule(); // what is its guest's ends in time, though nothing else happens
        },
        afterWork: () => this.afterWork(),
        hasTime: () => this.turns.hasTime(),
      },
    );
    this.stack = stack;
    this.flusher = new ImmediateFlush(() => stack.flush());
    this.native = new NativeCalls(log, openFiles + this.sockets.whole);
    this.limitWatch = new LimitWatch([stack.tcp.guests.budgets.connections, this.sockets], log);
    const { addressMap, destinations, flusher: flush, native } = this;
    const outboxes = new Outboxes(() => native.posix?.makeDatagramBatch());
    this.outboxes = outboxes;
    this.turns = new Turns({
      clock,
      owed: () => stack.owed + outboxes.owed,
      settle: () => this.flusher.flushNow(),
    });
    this.sockets.onTaken = (n) => this.turns.onOpened(n);
    this.share = this.turns.assist({ onTurn: (now) => this.goOn(now) });
    const { book } = this;
    const shared: DatagramShared = {
      book,
      downstream: stack,
      clock,
      flush,
      addresses: addressMap,
      pool: new SendPool(),
      seed: cryptoRandom.next32(),
      sockets: this.sockets,
    };
    this.shared = shared;
    const { keepaliveS } = config;
    const outbound = outboundOf(config);
    this.connectOptions = { keepaliveS, outbound };
    const onFailed: OnFailed = (id, reason, dialled) => {
      const isOutOfFiles = reason === 'EMFILE' || reason === 'ENFILE';
      const fields = flowFields(id, reason, dialled);
      if (isOutOfFiles) log.warn(fields, 'connection failed: raise the limit of open files');
      else log.debug(fields, 'connection failed');
    };
    const intakes = new Intakes(this.turns);
    const context = { clock, flusher: flush, intakes };
    this.tcp = new TcpProxy(
      context,
      stack,
      this.tcpCounts,
      this.sockets,
      book,
      this.connectOptions,
      onFailed,
    );
    this.udp = new UdpNat({
      ...shared,
      intakes,
      outboxes,
      native,
      outbound,
      destinations,
      ownDns: this.ownDns,
      onRefused: (id, reason) => log.debug(flowFields(id, reason), 'datagram refused'),
    });
    this.forwards = new UdpForwards({ ...shared, outboxes, native, outbound, destinations });
    const { gate } = deps;
    this.published = new UdpPublisher({ ...shared, outboxes, native, gate });
    this.echo = new EchoProxy({ ...shared, intakes, native, destinations, log });
    const { tcp, udp, forwards, published, echo, listeners } = this;
    this.gated = gate && new GatedTcp({ gate, book, tcp, destinations, context });
    upstream.parts = {
      ...{ book, destinations, tcp, udp, forwards, published, echo, listeners },
      gated: this.gated,
      proxies: this.proxies,
      ownDns: this.ownDns,
      onRefused: (id, reason) => log.debug(flowFields(id, reason), 'connection refused'),
      onGuestHeard,
      onGuestGone: (owner) => {
        deps.beforeGuestForgotten(owner);
        this.book.names.forget(owner);
        this.policy.denials.forget(owner);
        this.denials.forget(owner);
        deps.onGuestGone(owner);
      },
    };
    const windowUs = config.busyPollUs ?? defaultWindowUs(availableParallelism());
    const opened = (): number => this.book.opened.tcp;
    this.busyPoll = new BusyPoll({ clock, carried, opened }, windowUs);
  }

  /** Reset every proxied connection while the guests are still attached, so that they receive the resets. */
  closeConnections(): void {
    this.tcp.close();
    this.gated?.close();
    this.stack.flush();
  }

  /** Once no link is left. */
  close(): void {
    this.udp.close();
    this.forwards.close();
    this.echo.close();
    this.native.close();
    this.memoryReturn.close();
    this.limitWatch.close();
    this.isClosed = true;
    this.clock.wakeAt(NEVER, () => {});
  }

  /** A guest has asked for a destination, or a name, in vain. */
  onBlock(block: Block): void {
    this.denials.onBlock(block);
    this.verdicts.onBlock(block);
    this.book.feed.add({ kind: 'blocked', block });
  }

  private afterWork(): void {
    if (this.isClosed) return;
    this.outboxes.flush();
    if (this.stack.owed > 0) this.share.wait();
    this.limitWatch.check(this.clock.now());
    this.arm();
    this.busyPoll.onWork();
  }

  /** Have the timer serve `part`, whose deadlines come from the guests' packets. */
  serveTime(part: TimedPart): void {
    this.served.unshift(part);
  }

  private goOn(now: Instant): void {
    if (!this.share.begin(now)) return;
    this.stack.onBatchEnd(now);
    this.share.end(this.stack.owed > 0);
  }

  private arm(): void {
    // Each by its name, since this is done twice for a request and its answer: V8 makes one piece of it.
    const { udp, forwards, published, echo, stack } = this;
    let at = Math.min(udp.nextTimeout(), forwards.nextTimeout(), published.nextTimeout());
    at = Math.min(at, echo.nextTimeout(), stack.nextTimeout());
    for (const part of this.served) at = Math.min(at, part.nextTimeout());
    this.clock.wakeAt(at, this.onTime);
  }

  private readonly onTime = (): void => {
    const { udp, forwards, published, echo, stack } = this;
    const now = this.clock.now();
    this.turns.enter(now);
    for (const part of [...this.served, udp, forwards, published, echo, stack]) {
      try {
        part.onTimeout(now);
      } catch (fault) {
        reportFault('timer', fault);
      }
    }
    this.turns.leave();
    this.arm();
  };
}

function outboundOf({ outbound }: NetworkConfig): OutboundAddresses {
  const of = (family: 4 | 6): string | undefined =>
    outbound.find((text) => requiredAddress(text).family === family);
  return { ipv4: of(4), ipv6: of(6) };
}

/** Beside the host's own network, only the gateway's addresses are known to be of this one. */
const ofIpv6 = (ipv6: Ipv6Addresses | undefined): Partial<AddressMapConfig> =>
  ipv6 === undefined
    ? {}
    : {
        subnet6: { address: ipv6.prefix, bits: 64 },
        isShared6: ipv6.isOffLink,
        gateway6: ipv6.gateway,
        alias6: ipv6.dns,
        linkLocal6: ipv6.linkLocal,
        host6: ipv6.host,
      };
