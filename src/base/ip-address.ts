/**
 * IP addresses inside hawser: 128 bits as four int32 words, network order. An IPv4 address is held
 * as its v4-mapped form (::ffff:a.b.c.d, RFC 4291 §2.5.5.2), so that every table, key and flow has
 * one shape for both families.
 *
 * Text is parsed at the edges with the `ip-address` library, never here; only printing is ours,
 * because a flow's address is printed once per connection.
 */

/** Third word of a v4-mapped address. */
export const V4_MAPPED = 0xffff;

export class IpAddress {
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: number;

  constructor(a: number, b: number, c: number, d: number) {
    this.a = a | 0;
    this.b = b | 0;
    this.c = c | 0;
    this.d = d | 0;
  }

  get family(): 4 | 6 {
    return this.a === 0 && this.b === 0 && this.c === V4_MAPPED ? 4 : 6;
  }

  equals(other: IpAddress): boolean {
    return this.d === other.d && this.c === other.c && this.b === other.b && this.a === other.a;
  }

  toString(): string {
    return this.family === 4 ? formatIpv4(this.d) : formatIpv6(this);
  }
}

/** The IPv4 address `word`: int32, network order read as one number. */
export const ipv4 = (word: number): IpAddress => new IpAddress(0, 0, V4_MAPPED, word);

/** The address held by four words of `words`, from `at`. */
export const addressFromWords = (words: Int32Array, at: number): IpAddress =>
  new IpAddress(words[at] ?? 0, words[at + 1] ?? 0, words[at + 2] ?? 0, words[at + 3] ?? 0);

/** Write `address` to the first four words of `words`. */
export function setWords(words: Int32Array, address: Pick<IpAddress, 'a' | 'b' | 'c' | 'd'>): void {
  words[0] = address.a;
  words[1] = address.b;
  words[2] = address.c;
  words[3] = address.d;
}

export const formatIpv4 = (word: number): string =>
  `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`;

/** What tells addresses apart in a Map; a number for IPv4, which is made at no cost. */
export type AddressKey = string | number;

export const addressKey = ({ a, b, c, d }: IpAddress): AddressKey =>
  a === 0 && b === 0 && c === V4_MAPPED ? d : `${a} ${b} ${c} ${d}`;

/** RFC 5952 §4: lower case, no leading zeros, the longest run of zero groups shortened. */
function formatIpv6(address: IpAddress): string {
  const groups: number[] = [];
  for (const word of [address.a, address.b, address.c, address.d]) {
    groups.push(word >>> 16, word & 0xffff);
  }
  let best = -1;
  let bestLen = 1;
  for (let i = 0; i < 8; i++) {
    let len = 0;
    while (i + len < 8 && groups[i + len] === 0) len++;
    if (len > bestLen) {
      best = i;
      bestLen = len;
    }
  }
  const hex = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(':');
  return best < 0 ? hex(0, 8) : `${hex(0, best)}::${hex(best + bestLen, 8)}`;
}
