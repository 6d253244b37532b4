/** IPv6 frames of small parts, whole or spoilt on purpose. */
import { sum16 } from '../../src/wire/checksum.ts';
import { readIpv6Address } from '../../src/wire/ipv6-address.ts';
import { formatMac, readMac } from '../../src/wire/mac.ts';
import { ethernetFrame, GATEWAY_MAC, GUEST_MAC, viewOf } from './frames.ts';

export const ICMPV6 = 58;
export const UDP = 17;
const ALL_NODES = 0x3333_0000_0001;
/** As text, what `family.ts` makes of the words of `frames.ts`. */
export const GUEST6 = 'fd12:3456:789a:1::2';
export const GATEWAY6 = 'fd12:3456:789a:1::1';
export const HOST6 = 'fd12:3456:789a:1::fe';
export const SERVER6 = '2001:db8::808:808';
/** Of the gateway as a router: made of its Ethernet address. */
export const ROUTER6 = 'fe80::5894:efff:fee4:cdd';

/** `fe80::1` as 16 bytes: the forms that tests need. */
export function address6(text: string): number[] {
  const [head = '', tail = ''] = text.split('::');
  const groups = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16));
  const [before, after] = [groups(head), groups(tail)];
  const zeros = new Array<number>(8 - before.length - after.length).fill(0);
  return [...before, ...zeros, ...after].flatMap((group) => [group >> 8, group & 255]);
}

export interface Ip6Fields {
  readonly src?: string;
  readonly dst?: string;
  readonly srcMac?: number;
  readonly dstMac?: number;
  readonly hopLimit?: number;
  /** Extension headers before the upper layer: kind, and bytes without the next header. */
  readonly extensions?: readonly (readonly [number, readonly number[]])[];
}

export function frame6(
  protocol: number,
  upper: readonly number[],
  fields: Ip6Fields = {},
): Uint8Array {
  const { extensions = [] } = fields;
  const kinds = [...extensions.map(([kind]) => kind), protocol];
  const headers = extensions.flatMap(([, body], i) => [kinds[i + 1] ?? 0, ...body]);
  const payload = [...headers, ...upper];
  const frame = ethernetFrame(
    0x86dd,
    40 + payload.length,
    fields.srcMac ?? GUEST_MAC,
    fields.dstMac ?? ALL_NODES,
  );
  const view = viewOf(frame);
  view.setUint32(14, 0x6000_0000);
  view.setUint16(18, payload.length);
  frame[20] = kinds[0] ?? 0;
  frame[21] = fields.hopLimit ?? 255;
  frame.set(address6(fields.src ?? 'fe80::2'), 22);
  frame.set(address6(fields.dst ?? 'ff02::1'), 38);
  frame.set(payload, 54);
  return frame;
}

/** An option with an Ethernet address: 1 of the source, 2 of the target. */
export const linkLayerOption = (kind: 1 | 2, mac: number): number[] => [
  kind,
  1,
  ...[5, 4, 3, 2, 1, 0].map((i) => Math.floor(mac / 256 ** i) & 255),
];

/** A message of Neighbor Discovery: its type, target, and options. */
export const ndp = (type: number, target: string, options: readonly number[] = []): number[] => [
  ...[type, 0, 0, 0, type === 136 ? 0x20 : 0, 0, 0, 0],
  ...address6(target),
  ...options,
];

/** Hop-by-hop or destination options that say nothing. */
export const PADDING = [0, 1, 4, 0, 0, 0, 0] as const;
/** A fragment header, at `offset` units of 8 bytes. */
export const fragmentHeader = (offset: number, isMore: boolean): number[] => {
  const word = (offset << 3) | (isMore ? 1 : 0);
  return [0, word >> 8, word & 255, 0, 0, 0, 7];
};

/** `upper` with its sum, which stands at `at`. */
export function summed(
  protocol: number,
  upper: readonly number[],
  at: number,
  { src = 'fe80::2', dst = 'ff02::1' }: Ip6Fields,
): number[] {
  const blank = upper.map((byte, i) => (i === at || i === at + 1 ? 0 : byte));
  const { length } = upper;
  const pseudo = [...address6(src), ...address6(dst), 0, 0, length >> 8, length & 255, 0, 0, 0];
  const bytes = Uint8Array.from([...pseudo, protocol, ...blank]);
  const sum = ~sum16(viewOf(bytes), 0, bytes.length) & 0xffff;
  return blank.map((byte, i) => (i === at ? sum >> 8 : i === at + 1 ? sum & 255 : byte));
}

export const icmp6Frame = (message: readonly number[], fields: Ip6Fields = {}): Uint8Array =>
  frame6(ICMPV6, summed(ICMPV6, message, 2, fields), fields);

/** UDP header and data with its sum. */
export function udp6(
  sport: number,
  dport: number,
  data: readonly number[],
  fields: Ip6Fields,
): number[] {
  const len = 8 + data.length;
  const header = [sport >> 8, sport & 255, dport >> 8, dport & 255, len >> 8, len & 255, 0, 0];
  return summed(UDP, [...header, ...data], 6, fields);
}

/** To somewhere behind the gateway, or to itself. */
export const through = (dst: string = SERVER6, more: Ip6Fields = {}): Ip6Fields => ({
  src: GUEST6,
  dst,
  dstMac: GATEWAY_MAC,
  hopLimit: 64,
  ...more,
});

/** The guest asks for the gateway, and says so who it is. */
export const solicitationOfGateway = (): Uint8Array =>
  icmp6Frame(ndp(135, GATEWAY6, linkLayerOption(1, GUEST_MAC)), {
    src: GUEST6,
    dst: 'ff02::1:ff00:1',
    dstMac: 0x3333_ff00_0001,
  });

/** RFC 4291 §2.7.1, and RFC 2464 §7 */
export const solicitedNode = (target: string): Pick<Ip6Fields, 'dst' | 'dstMac'> => {
  const low = address6(target).slice(13);
  const [x = 0, y = 0, z = 0] = low;
  const hex = (n: number): string => n.toString(16);
  return {
    dst: `ff02::1:${hex(0xff00 | x)}:${hex((y << 8) | z)}`,
    dstMac: 0x3333_ff00_0000 + (x << 16) + (y << 8) + z,
  };
};

/** The guest wants its address, and asks whether anybody has it. */
export const probeOfGuest = (): Uint8Array =>
  icmp6Frame(ndp(135, GUEST6), { src: '::', ...solicitedNode(GUEST6) });

/** The guest says that it is at `mac`. */
export const advertisementOfGuest = (mac: number, fields: Ip6Fields = {}): Uint8Array =>
  icmp6Frame(ndp(136, GUEST6, linkLayerOption(2, mac)), {
    ...through(ROUTER6, { src: GUEST6, srcMac: mac, hopLimit: 255 }),
    ...fields,
  });

/** A packet of the stack in parts. */
export interface Packet6 {
  readonly dstMac: string;
  readonly src: string;
  readonly dst: string;
  readonly protocol: number;
  readonly hopLimit: number;
  readonly flowLabel: number;
  readonly upper: Uint8Array;
}

export function packet6(frame: Uint8Array): Packet6 {
  const view = viewOf(frame);
  const text = (at: number): string => readIpv6Address(view, at).toString();
  return {
    dstMac: formatMac(readMac(view, 0)),
    src: text(22),
    dst: text(38),
    protocol: frame[20] ?? 0,
    hopLimit: frame[21] ?? 0,
    flowLabel: view.getUint32(14) & 0xf_ffff,
    upper: frame.subarray(54, 54 + view.getUint16(18)),
  };
}
