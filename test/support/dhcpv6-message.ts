/** Messages of DHCPv6 clients, and what replies say. */
import { IpAddress } from '../../src/base/ip-address.ts';
import { parseAddress } from '../../src/services/address-text.ts';

export interface AssociationAsk {
  readonly id?: number;
  readonly addresses?: readonly string[];
}

export interface Dhcpv6Ask {
  readonly type: number;
  /** Null: none. */
  readonly clientId?: readonly number[] | null;
  readonly serverId?: readonly number[];
  readonly associations?: readonly AssociationAsk[];
  readonly requests?: readonly number[];
  readonly fqdn?: readonly number[];
  readonly rapid?: boolean;
  readonly extra?: readonly number[];
}

export const DUID: readonly number[] = [0, 4, 1, 2, 3, 4, 5, 6, 7, 8];

const uint16 = (value: number): number[] => [(value >> 8) & 255, value & 255];
const uint32 = (value: number): number[] => [...uint16(value >>> 16), ...uint16(value)];

export const option = (code: number, data: readonly number[]): number[] => [
  ...uint16(code),
  ...uint16(data.length),
  ...data,
];

export const addressBytes = (text: string): number[] => {
  const { a, b, c, d } = parseAddress(text) ?? new IpAddress(0, 0, 0, 0);
  return [a, b, c, d].flatMap(uint32);
};

const association = ({ id = 7, addresses = [] }: AssociationAsk): number[] =>
  option(3, [
    ...uint32(id),
    ...uint32(0),
    ...uint32(0),
    ...addresses.flatMap((text) => option(5, [...addressBytes(text), ...uint32(0), ...uint32(0)])),
  ]);

export function dhcpv6Message(ask: Dhcpv6Ask): DataView {
  const { clientId = DUID, serverId, associations = [], requests, fqdn } = ask;
  return messageOf(ask.type, [
    ...(clientId === null ? [] : option(1, clientId)),
    ...(serverId === undefined ? [] : option(2, serverId)),
    ...(requests === undefined ? [] : option(6, requests.flatMap(uint16))),
    ...(fqdn === undefined ? [] : option(39, fqdn)),
    ...(ask.rapid === true ? option(14, []) : []),
    ...associations.flatMap(association),
    ...(ask.extra ?? []),
  ]);
}

export const messageOf = (type: number, options: readonly number[]): DataView =>
  new DataView(Uint8Array.from([type, 0xab, 0xcd, 0xef, ...options]).buffer);

export interface ReadAssociation {
  readonly id: number;
  readonly t1: number;
  readonly t2: number;
  /** Of each address its valid lifetime, seconds. */
  readonly addresses: Readonly<Record<string, number>>;
  readonly status: number | undefined;
}

export interface ReadReply {
  readonly type: number;
  readonly xid: number;
  /** In their order; the data of the last of a code. */
  readonly codes: readonly number[];
  readonly options: ReadonlyMap<number, readonly number[]>;
  readonly status: number | undefined;
  readonly associations: readonly ReadAssociation[];
}

/** Reads a whole reply, and throws where it is not well-formed. */
export function readDhcpv6Reply(view: DataView): ReadReply {
  const all = [...optionsOf(view, 4, view.byteLength)];
  const associations = all
    .filter(([code]) => code === 3)
    .map(([, at, end]) => readAssociation(view, at, end));
  const status = all.find(([code]) => code === 13);
  return {
    type: view.getUint8(0),
    xid: view.getUint32(0) & 0xff_ffff,
    codes: all.map(([code]) => code),
    options: new Map(all.map(([code, at, end]) => [code, bytesOf(view, at, end)])),
    status: status === undefined ? undefined : view.getUint16(status[1]),
    associations,
  };
}

function readAssociation(view: DataView, at: number, end: number): ReadAssociation {
  const addresses: Record<string, number> = {};
  let status: number | undefined;
  for (const [code, from] of optionsOf(view, at + 12, end)) {
    if (code === 13) status = view.getUint16(from);
    if (code !== 5) continue;
    const word = (i: number): number => view.getInt32(from + 4 * i);
    addresses[new IpAddress(word(0), word(1), word(2), word(3)).toString()] = view.getUint32(
      from + 20,
    );
  }
  return {
    id: view.getUint32(at),
    t1: view.getUint32(at + 4),
    t2: view.getUint32(at + 8),
    addresses,
    status,
  };
}

function* optionsOf(view: DataView, from: number, to: number): Generator<[number, number, number]> {
  for (let at = from; at < to; ) {
    const end = at + 4 + view.getUint16(at + 2);
    if (end > to) throw new Error(`an option at ${at} ends at ${end}, behind ${to}`);
    yield [view.getUint16(at), at + 4, end];
    at = end;
  }
}

const bytesOf = (view: DataView, at: number, end: number): readonly number[] =>
  Array.from({ length: end - at }, (_, i) => view.getUint8(at + i));
