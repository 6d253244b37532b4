/**
 * The prefix by which the host's own network translates to IPv4: asked of the host's name servers (RFC 7050), again when it
 * ends to hold or the name servers change. While nobody answers the last one is taken to hold.
 */

import type { Found } from '../../services/dns/guest-answer.ts';
import { type DnsQuery, dnsRcode, NOERROR, NXDOMAIN } from '../../services/dns/message.ts';
import { discoveredPrefixes, discoveryQuery } from '../../services/dns/nat64-discovery.ts';
import type { Nat64Prefix } from '../../services/nat64-address.ts';

const MIN_MS = 60_000;
const MAX_MS = 86_400_000;
/** Without a prefix, until the next question. */
const ABSENT_MS = 600_000;
/** Without an answer, doubled each time. */
const FIRST_RETRY_MS = 5_000;

export interface Nat64PrefixDeps {
  /** Of the host's name servers, whatever guests get: `DnsForwarder.find`. */
  readonly find: (query: DnsQuery, found: Found) => void;
  /** @param prefix undefined: the network has none */
  readonly onChange: (prefix: Nat64Prefix | undefined) => void;
  /** @returns what cancels it */
  readonly schedule?: (callback: () => void, delayMs: number) => () => void;
}

export class HostNat64Prefix {
  /** Undefined: none is known. */
  prefix: Nat64Prefix | undefined = undefined;
  private readonly deps: Nat64PrefixDeps;
  private cancel: () => void = () => {};
  private retryMs = FIRST_RETRY_MS;
  /** Counts questions: the answer to an earlier one does not count. */
  private asked = 0;
  private active = false;

  constructor(deps: Nat64PrefixDeps) {
    this.deps = deps;
  }

  /** The host has IPv6 only, from now on. */
  start(): void {
    if (this.active) return;
    this.active = true;
    this.ask();
  }

  /** It has IPv4 too, or nothing. */
  stop(): void {
    if (!this.active) return;
    this.active = false;
    this.cancel();
    this.asked++;
    this.set(undefined);
  }

  /** The name servers may be others. */
  onNameServers(): void {
    if (!this.active) return;
    this.retryMs = FIRST_RETRY_MS;
    this.ask();
  }

  private ask(): void {
    this.cancel();
    const asked = ++this.asked;
    this.deps.find(discoveryQuery(), (reply, origin) => {
      if (asked !== this.asked) return;
      if (origin === 'failure' || !isAnswer(reply)) {
        this.again(this.retryMs);
        this.retryMs = Math.min(this.retryMs * 2, ABSENT_MS);
        return;
      }
      this.retryMs = FIRST_RETRY_MS;
      const { prefixes, ttlS } = discoveredPrefixes(reply);
      const [first] = prefixes;
      this.again(first === undefined ? ABSENT_MS : Math.min(Math.max(ttlS * 1000, MIN_MS), MAX_MS));
      this.set(first);
    });
  }

  private again(delayMs: number): void {
    this.cancel();
    this.cancel = (this.deps.schedule ?? later)(() => this.ask(), delayMs);
  }

  private set(prefix: Nat64Prefix | undefined): void {
    const known = this.prefix;
    this.prefix = prefix;
    const isSame =
      known === undefined || prefix === undefined
        ? known === prefix
        : known.bits === prefix.bits && known.address.equals(prefix.address);
    if (!isSame) this.deps.onChange(prefix);
  }
}

/** NOERROR and NXDOMAIN say what there is. */
const isAnswer = (reply: Uint8Array): boolean => {
  const rcode = dnsRcode(reply);
  return rcode === NOERROR || rcode === NXDOMAIN;
};

function later(callback: () => void, delayMs: number): () => void {
  const timer = setTimeout(callback, delayMs);
  timer.unref();
  return () => clearTimeout(timer);
}
