/**
 * Whether the host has a way to IPv4 and to IPv6, now and after every change.
 *
 * The kernel is asked for the address that it would send from to a root server (`native/source-address.ts`): nothing is
 * sent, and route tables are not read. It is asked again shortly after links, addresses or routes have changed, where the
 * system reports that, and every while. A way to IPv4 through a translator on the host itself (RFC 6877) is one.
 *
 * Nothing here keeps the process up.
 */
import { reportFault } from '../base/faults.ts';
import type { IpAddress } from '../base/ip-address.ts';
import { type SourceAddress, sourceAddressTo } from '../native/source-address.ts';
import { parseAddress } from '../services/address-text.ts';

/** f.root-servers.net, which every network with a way to the Internet has a route for. */
const FAR_IPV6 = '2001:500:2f::f';
const FAR_IPV4 = '192.5.5.241';

/** Of the source address: a unique local one (RFC 4193) has no way to the Internet, or none that is known. */
export type Ipv6Reach = 'global' | 'unique-local' | 'none';

export interface Reach {
  readonly ipv4: boolean;
  readonly ipv6: Ipv6Reach;
  /** The source address, unless it is `none`. */
  readonly source6: IpAddress | undefined;
  /** Why there is no way to IPv6: `ENETUNREACH`, `EAFNOSUPPORT`, ... */
  readonly code6: string | undefined;
}

export type ReachChanged = (reach: Reach, before: Reach) => void;

export interface HostReachOptions {
  readonly pollMs?: number;
  /** Changes come in groups. */
  readonly settleMs?: number;
  readonly probe?: (destination: string) => Promise<SourceAddress>;
}

/** While the kernel cannot be asked, what it said last holds. */
const SHORT: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOMEM', 'ENOBUFS', 'EAGAIN']);

const POLL_MS = 10_000;
const SETTLE_MS = 100;

const NOWHERE: Reach = { ipv4: false, ipv6: 'none', source6: undefined, code6: undefined };

export class HostReach {
  private readonly probe: (destination: string) => Promise<SourceAddress>;
  private readonly settleMs: number;
  private readonly pollMs: number;
  private onChange: ReachChanged = () => {};
  private readonly onAsked: (() => void)[] = [];
  private poll: NodeJS.Timeout | undefined = undefined;
  private settling: NodeJS.Timeout | undefined = undefined;
  private asking: Promise<void> | undefined = undefined;
  private isAskedAgain = false;
  private isClosed = false;
  private known: Reach = NOWHERE;

  /** Nothing is asked before {@link ask} or {@link follow}. */
  constructor({
    pollMs = POLL_MS,
    settleMs = SETTLE_MS,
    probe = sourceAddressTo,
  }: HostReachOptions = {}) {
    this.pollMs = pollMs;
    this.settleMs = settleMs;
    this.probe = probe;
  }

  /** Ask every while from now on, and report what differs from before. */
  follow(onChange: ReachChanged): void {
    this.onChange = onChange;
    this.poll = setInterval(() => this.askSoon(), this.pollMs).unref();
  }

  /** Have `listener` called each time that the kernel was asked: what {@link now} does not show may have changed. */
  whenAsked(listener: () => void): void {
    this.onAsked.push(listener);
  }

  /** As far as it is known; nowhere before the first answer. */
  get now(): Reach {
    return this.known;
  }

  /** Links, addresses or routes have changed. */
  readonly onNetworkChange = (): void => {
    if (this.isClosed) return;
    this.settling ??= setTimeout(() => {
      this.settling = undefined;
      this.askSoon();
    }, this.settleMs).unref();
  };

  /** Ask now. @returns when {@link now} is true of now */
  ask(): Promise<void> {
    if (this.asking !== undefined) this.isAskedAgain = true;
    this.asking ??= this.askUntilDone();
    return this.asking;
  }

  close(): void {
    this.isClosed = true;
    clearInterval(this.poll);
    clearTimeout(this.settling);
  }

  private askSoon(): void {
    this.ask().catch((fault: unknown) => reportFault('timer', fault));
  }

  private async askUntilDone(): Promise<void> {
    do {
      this.isAskedAgain = false;
      const [v4, v6] = await Promise.all([this.probe(FAR_IPV4), this.probe(FAR_IPV6)]);
      this.take(v4, v6);
      if (!this.isClosed) for (const listener of this.onAsked) listener();
    } while (this.isAskedAgain && !this.isClosed);
    this.asking = undefined;
  }

  private take(v4: SourceAddress, v6: SourceAddress): void {
    if (this.isClosed) return;
    const before = this.known;
    const after = {
      ipv4: isShort(v4) ? before.ipv4 : 'address' in v4 && isUsable(v4.address),
      ...(isShort(v6) ? ipv6Of(before) : reachOf(v6)),
    };
    if (isSame(before, after)) return;
    this.known = after;
    this.onChange(after, before);
  }
}

type Ipv6Of = Omit<Reach, 'ipv4'>;

const ipv6Of = ({ ipv6, source6, code6 }: Reach): Ipv6Of => ({ ipv6, source6, code6 });

const isShort = (source: SourceAddress): boolean => 'code' in source && SHORT.has(source.code);

function reachOf(source: SourceAddress): Ipv6Of {
  if ('code' in source) return { ipv6: 'none', source6: undefined, code6: source.code };
  const address = parseAddress(source.address);
  const ipv6 = kindOf(address);
  return { ipv6, source6: ipv6 === 'none' ? undefined : address, code6: undefined };
}

function kindOf(address: IpAddress | undefined): Ipv6Reach {
  if (address === undefined || address.family === 4) return 'none';
  if (address.a >>> 29 === 1) return 'global'; // 2000::/3, RFC 4291 §2.4
  return address.a >>> 25 === 0x7e ? 'unique-local' : 'none'; // fc00::/7
}

/** Loopback and link-local addresses lead nowhere. */
function isUsable(text: string): boolean {
  const address = parseAddress(text);
  if (address?.family !== 4) return false;
  const first = address.d >>> 24;
  return first !== 0 && first !== 127 && address.d >>> 16 !== 0xa9fe;
}

const isSame = (one: Reach, other: Reach): boolean =>
  one.ipv4 === other.ipv4 &&
  one.ipv6 === other.ipv6 &&
  one.code6 === other.code6 &&
  `${one.source6}` === `${other.source6}`;
