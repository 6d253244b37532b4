/** IPv6 frames of small parts, whole or spoilt on purpose. */
import { ethernetFrame, GUEST_MAC, viewOf } from './frames.ts';

export const ICMPV6 = 58;
export const UDP = 17;
const ALL_NODES = 0x3333_0000_0001;

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
