/**
 * The header of HAProxy's PROXY protocol (versions 1 and 2): it identifies the client to a server behind a
 * proxy. Sent once, before the first byte of the connection.
 */
import type { IpAddress } from '../base/ip-address.ts';

export type ProxyProtocol = 'v1' | 'v2';

/** The two ends of a client's connection, of one family. */
export interface ProxiedConnection {
  readonly client: IpAddress;
  readonly clientPort: number;
  readonly server: IpAddress;
  readonly serverPort: number;
}

/** §2.2: CR LF CR LF NUL CR LF Q U I T LF. */
const SIGNATURE_V2 = Uint8Array.of(
  ...[0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a],
);
const FIXED_LEN_V2 = 16;
const V2_PROXY = 0x21;
const STREAM = 1;
const AF_INET = 0x10;
const AF_INET6 = 0x20;

/** @param connection undefined when it has no addresses, as over a Unix socket */
export function proxyHeader(
  version: ProxyProtocol,
  connection: ProxiedConnection | undefined,
): Uint8Array<ArrayBuffer> {
  return version === 'v1' ? headerV1(connection) : headerV2(connection);
}

function headerV1(connection: ProxiedConnection | undefined): Uint8Array<ArrayBuffer> {
  if (connection === undefined) return ascii('PROXY UNKNOWN\r\n');
  const { client, clientPort, server, serverPort } = connection;
  return ascii(`PROXY TCP${client.family} ${client} ${server} ${clientPort} ${serverPort}\r\n`);
}

function headerV2(connection: ProxiedConnection | undefined): Uint8Array<ArrayBuffer> {
  if (connection === undefined) {
    const header = new Uint8Array(FIXED_LEN_V2); // §2.2: AF_UNSPEC, no addresses
    header.set(SIGNATURE_V2);
    header[12] = V2_PROXY;
    return header;
  }
  const { client, clientPort, server, serverPort } = connection;
  const isV4 = client.family === 4;
  const addressLen = isV4 ? 4 : 16;
  const addressesLen = 2 * addressLen + 4;
  const header = new Uint8Array(FIXED_LEN_V2 + addressesLen);
  const view = new DataView(header.buffer);
  header.set(SIGNATURE_V2);
  header[12] = V2_PROXY;
  header[13] = (isV4 ? AF_INET : AF_INET6) | STREAM;
  view.setUint16(14, addressesLen);
  setAddress(view, FIXED_LEN_V2, client, isV4);
  setAddress(view, FIXED_LEN_V2 + addressLen, server, isV4);
  view.setUint16(FIXED_LEN_V2 + 2 * addressLen, clientPort);
  view.setUint16(FIXED_LEN_V2 + 2 * addressLen + 2, serverPort);
  return header;
}

function setAddress(view: DataView, off: number, address: IpAddress, isV4: boolean): void {
  if (isV4) {
    view.setInt32(off, address.d);
    return;
  }
  view.setInt32(off, address.a);
  view.setInt32(off + 4, address.b);
  view.setInt32(off + 8, address.c);
  view.setInt32(off + 12, address.d);
}

function ascii(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
