/**
 * The destination of a channel, as an Open encodes it: `u8 protocol`, then `u16 iplen | ip | u16 port` for TCP
 * and UDP, `u16 length | path` for a Unix socket. Addresses are 4 or 16 bytes on the wire: VPNKit's
 * Go half sends v4-mapped ones, its OCaml half 4 bytes; none (length 0) means "any". We send 16, as Go.
 * In the extended mode the client's address follows in the same form (port 0 when unknown).
 */
import { IpAddress, ipv4 } from '../base/ip-address.ts';

export interface IpEndpoint {
  readonly address: IpAddress;
  readonly port: number;
}

export interface IpDestination extends IpEndpoint {
  readonly proto: 'tcp' | 'udp';
}

export interface UnixDestination {
  readonly proto: 'unix';
  readonly path: string;
}

export type Destination = IpDestination | UnixDestination;

/** What was read, and `off` of what follows it. */
export interface Parsed<T> {
  readonly value: T;
  readonly next: number;
}

const TCP = 1;
const UDP = 2;
const UNIX = 3;
/** Bytes of an endpoint as we send it. */
export const ENDPOINT_LEN = 20;

const ANY: IpAddress = ipv4(0);
const ENCODER = new TextEncoder();
const DECODER = new TextDecoder();

/** @returns undefined when it does not fit before `end`, or has a length no address has */
export function parseEndpoint(
  view: DataView,
  off: number,
  end: number,
): Parsed<IpEndpoint> | undefined {
  if (off + 4 > end) return undefined;
  const len = view.getUint16(off, true);
  const port = off + 2 + len;
  if (port + 2 > end) return undefined;
  const address = readAddress(view, off + 2, len);
  if (address === undefined) return undefined;
  return { value: { address, port: view.getUint16(port, true) }, next: port + 2 };
}

/** An address of `len` bytes: 0, 4 or 16. */
export function readAddress(view: DataView, off: number, len: number): IpAddress | undefined {
  if (len === 0) return ANY;
  if (len === 4) return ipv4(view.getInt32(off));
  if (len !== 16) return undefined;
  return new IpAddress(
    view.getInt32(off),
    view.getInt32(off + 4),
    view.getInt32(off + 8),
    view.getInt32(off + 12),
  );
}

/** @returns undefined when it is malformed or of an unknown protocol */
export function parseDestination(
  view: DataView,
  off: number,
  end: number,
): Parsed<Destination> | undefined {
  if (off >= end) return undefined;
  const protocol = view.getUint8(off);
  if (protocol === TCP || protocol === UDP) {
    const endpoint = parseEndpoint(view, off + 1, end);
    if (endpoint === undefined) return undefined;
    const proto = protocol === TCP ? 'tcp' : 'udp';
    return { value: { proto, ...endpoint.value }, next: endpoint.next };
  }
  if (protocol !== UNIX || off + 3 > end) return undefined;
  const len = view.getUint16(off + 1, true);
  const next = off + 3 + len;
  if (next > end) return undefined;
  const path = DECODER.decode(new Uint8Array(view.buffer, view.byteOffset + off + 3, len));
  return { value: { proto: 'unix', path }, next };
}

/** Bytes that {@link emitDestination} writes at most. */
export const destinationLen = (destination: Destination): number =>
  destination.proto === 'unix' ? 3 + destination.path.length * 3 : 1 + ENDPOINT_LEN;

/** @returns bytes written */
export function emitDestination(view: DataView, off: number, destination: Destination): number {
  if (destination.proto === 'unix') {
    const { path } = destination;
    const room = new Uint8Array(view.buffer, view.byteOffset + off + 3, path.length * 3);
    const { written } = ENCODER.encodeInto(path, room);
    view.setUint8(off, UNIX);
    view.setUint16(off + 1, written, true);
    return 3 + written;
  }
  view.setUint8(off, destination.proto === 'tcp' ? TCP : UDP);
  return 1 + emitEndpoint(view, off + 1, destination);
}

export function emitEndpoint(view: DataView, off: number, endpoint: IpEndpoint): number {
  view.setUint16(off, 16, true);
  emitAddress(view, off + 2, endpoint.address);
  view.setUint16(off + 18, endpoint.port, true);
  return ENDPOINT_LEN;
}

export function emitAddress(view: DataView, off: number, address: IpAddress): void {
  view.setInt32(off, address.a);
  view.setInt32(off + 4, address.b);
  view.setInt32(off + 8, address.c);
  view.setInt32(off + 12, address.d);
}

export function formatDestination(destination: Destination): string {
  if (destination.proto === 'unix') return `unix:${destination.path}`;
  const { address, port } = destination;
  return `${destination.proto}:${address.family === 4 ? String(address) : `[${String(address)}]`}:${port}`;
}
