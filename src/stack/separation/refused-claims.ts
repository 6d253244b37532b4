/**
 * Addresses that one link claims though they are another's: what its user has to know, since its frames are dropped.
 *
 * A claim is listed while it is repeated, and {@link QUIET_MS} longer. A link has room for {@link CLAIMS_MAX}, and none is
 * replaced before it is quiet, so that a guest which claims ever new addresses begins few of them: the others are counted
 * alone. All of it ends with the link.
 */
import { type Instant, NEVER } from '../../base/time.ts';
import { wordAt } from '../../base/word-at.ts';
import type { Mac } from '../../wire/mac.ts';
import type { AddressKind } from './address-key.ts';

export const CLAIMS_MAX = 8;
export const QUIET_MS = 60_000;

export class RefusedClaim {
  /** As in `address-key.ts`. */
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: number;
  readonly kind: AddressKind;
  /** Ethernet address of the station that claims it. */
  readonly mac: Mac;
  readonly since: Instant;
  lastAt: Instant;
  /** How often it was refused. */
  times = 1;

  constructor(now: Instant, key: Int32Array, kind: AddressKind, mac: Mac) {
    this.a = wordAt(key, 0);
    this.b = wordAt(key, 1);
    this.c = wordAt(key, 2);
    this.d = wordAt(key, 3);
    this.kind = kind;
    this.mac = mac;
    this.since = now;
    this.lastAt = now;
  }

  isOf(a: number, b: number, c: number, d: number): boolean {
    return this.d === d && this.c === c && this.b === b && this.a === a;
  }

  get quietAt(): Instant {
    return this.lastAt + QUIET_MS;
  }
}

export class RefusedClaims {
  /** Times that addresses were refused for which there was no room. */
  unlisted = 0;
  private claims: RefusedClaim[] = [];
  /** None of them is quiet before. */
  private quietAt: Instant = NEVER;

  /**
   * The address in `key` was refused.
   *
   * @returns the claim, if it begins with this
   */
  add(now: Instant, key: Int32Array, kind: AddressKind, mac: Mac): RefusedClaim | undefined {
    if (now >= this.quietAt) this.forgetQuiet(now);
    const a = wordAt(key, 0);
    const b = wordAt(key, 1);
    const c = wordAt(key, 2);
    const d = wordAt(key, 3);
    for (const claim of this.claims) {
      if (!claim.isOf(a, b, c, d)) continue;
      claim.lastAt = now;
      claim.times++;
      return undefined;
    }
    if (this.claims.length >= CLAIMS_MAX) {
      this.unlisted++;
      return undefined;
    }
    const begun = new RefusedClaim(now, key, kind, mac);
    this.claims.push(begun);
    this.quietAt = Math.min(this.quietAt, begun.quietAt);
    return begun;
  }

  forEach(now: Instant, visit: (claim: RefusedClaim) => void): void {
    for (const claim of this.claims) if (now < claim.quietAt) visit(claim);
  }

  private forgetQuiet(now: Instant): void {
    this.claims = this.claims.filter(({ quietAt }) => now < quietAt);
    this.quietAt = Math.min(NEVER, ...this.claims.map(({ quietAt }) => quietAt));
  }
}
