/**
 * IPv4 addresses inside of IPv6 ones. A host with NAT64, 6to4, Teredo or ISATAP sends what goes to such an address to
 * the IPv4 address that it carries, so a destination must be one that guests may reach by both.
 *
 * A prefix for local use (RFC 8215) carries it at an offset that depends on the prefix's length, which cannot be
 * known here: each possible one counts.
 */
import type { IpAddress } from '../../base/ip-address.ts';

/** What there is to say against an IPv4 address, or undefined. */
export type Objection<W> = (word: number) => W | undefined;

/** @returns what `objection` says about the IPv4 addresses that a..d carries, the first to be said */
export function objectionToCarried<W>(
  a: number,
  b: number,
  c: number,
  d: number,
  objection: Objection<W>,
): W | undefined {
  const onInterface = isIsatap(c) ? objection(d) : undefined;
  if (onInterface !== undefined) return onInterface;
  if (a === NAT64 && b === 0 && c === 0) return objection(d); // RFC 6052 §2.1
  if (a === NAT64 && b >>> 16 === NAT64_LOCAL) return objectionToLocal(b, c, d, objection);
  if (a >>> 16 === SIX_TO_FOUR) return objection((a << 16) | (b >>> 16)); // RFC 3056 §2
  if (a === TEREDO) return objection(b) ?? objection(~d); // RFC 4380 §4: the server, the client inverted
  return undefined;
}

const NAT64 = 0x0064_ff9b;
const NAT64_LOCAL = 1;
const SIX_TO_FOUR = 0x2002;
const TEREDO = 0x2001_0000;

/** RFC 5214 §6.1: `5efe` behind any setting of the bits u and g. */
const ISATAP = 0x0000_5efe;
const ISATAP_MASK = ~0x0300_0000;

/** Whether packets arrive at the address itself, whatever it carries: ISATAP's may be of any network. */
export const isOfAnyNetwork = ({ family, c }: IpAddress): boolean => family === 6 && isIsatap(c);

const isIsatap = (c: number): boolean => (c & ISATAP_MASK) === ISATAP;

/** RFC 6052 §2.2: prefixes of /48, /56, /64 and /96 within 64:ff9b:1::/48. Bits 64 to 71 carry nothing. */
function objectionToLocal<W>(
  b: number,
  c: number,
  d: number,
  objection: Objection<W>,
): W | undefined {
  const possible = (word: number): W | undefined => (isNowhere(word) ? undefined : objection(word));
  return (
    possible((b << 16) | ((c >>> 8) & 0xffff)) ??
    possible((b << 24) | (c & 0x00ff_ffff)) ??
    possible((c << 8) | (d >>> 24)) ??
    possible(d)
  );
}

/** An offset other than the sender's yields any bytes, with zeros around them: 0.1.2.3, 8.0.0.0, 250.1.2.3: no host's. */
const isNowhere = (word: number): boolean =>
  word >>> 24 === 0 || (word & 0x00ff_ffff) === 0 || word >>> 24 >= 224;
