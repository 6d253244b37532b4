import { isIP } from 'node:net';
import { relativePathProblem } from '../native/current-directory.ts';
import { UNIX_PATH_MAX } from '../native/unix-path.ts';

/** Where a stream socket listens or connects: a path, or an IP address and port. */
export type StreamAddress = { readonly path: string } | Endpoint;

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

const MAX_PORT = 65_535;

export const formatStreamAddress = (address: StreamAddress): string => {
  if ('path' in address) return address.path;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `${host}:${address.port}`;
};

/** `IP:PORT` or `[IPV6]:PORT`; port 0 lets the system pick one. @returns undefined for other text */
export function parseEndpoint(text: string): Endpoint | undefined {
  const [, literal, plain = '', digits = ''] =
    /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(text) ?? [];
  const host = literal ?? plain;
  const port = Number(digits);
  if (isIP(host) !== (literal === undefined ? 4 : 6) || port > MAX_PORT) return undefined;
  return { host, port };
}

/** @returns why `path` is not valid for a Unix socket, as the end of a sentence that begins with the path */
export function unixPathProblem(path: string): string | undefined {
  if (path === '' || path.includes('\0')) return 'must name a path';
  const lenBytes = Buffer.byteLength(path);
  return lenBytes <= UNIX_PATH_MAX
    ? relativePathProblem(path)
    : `is a path of ${lenBytes} bytes: must be at most ${UNIX_PATH_MAX}, the limit of Unix sockets; choose a shorter one`;
}
