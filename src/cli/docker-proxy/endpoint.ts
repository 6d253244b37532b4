/**
 * The address of the daemon's control API, as seen from the guest: named by the user; or else a socket that the agent
 * has at a known place, then the guest API on the gateway of the default route.
 */

import { existsSync, readFileSync } from 'node:fs';
import { endianness, networkInterfaces } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { readSmallFile } from '../../native/read-small-file.ts';

/** How data comes to the container: through the guest's network stack, or by the agent. */
export type Carrier = 'net' | 'mux';

export type ControlEndpoint = {
  readonly carrier: Carrier;
  readonly token: string | undefined;
} & (
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
);

export class EndpointError extends Error {
  readonly code = 'ERR_HAWSER_ENDPOINT';
}

const HTTP_PORT = 80;
const ALLOWED = 'http://IP[:PORT], unix:PATH, or agent:PATH for the socket of hawser agent';

/**
 * @param tokenFile with the bearer token, for an API over TCP that is not the guest API
 * @throws EndpointError
 */
export function parseEndpoint(text: string, tokenFile: string | undefined): ControlEndpoint {
  const token = tokenFile === undefined ? undefined : readToken(tokenFile);
  const agent = /^agent:(\/.+)$/s.exec(text)?.[1];
  if (agent !== undefined) return { kind: 'unix', path: agent, carrier: 'mux', token };
  const path = /^(?:unix:(?:\/\/)?)?(\/.*)$/s.exec(text)?.[1];
  if (path !== undefined) return { kind: 'unix', path, carrier: 'net', token };
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'http:' || url.pathname !== '/') {
    throw new EndpointError(`the control address ${text} is not understood: ${ALLOWED}`);
  }
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return { kind: 'tcp', host, port: Number(url.port || HTTP_PORT), carrier: 'net', token };
}

function readToken(file: string): string {
  try {
    return readSmallFile(file).trim();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new EndpointError(`cannot read the control token: ${why}`, { cause: error });
  }
}

export function describeEndpoint(endpoint: ControlEndpoint): string {
  if (endpoint.kind === 'unix') return endpoint.path;
  const { host, port } = endpoint;
  const name = host.includes(':') ? `[${host}]` : host;
  return `http://${name}${port === HTTP_PORT ? '' : `:${port}`}/`;
}

export interface DefaultRoute {
  readonly interface: string;
  readonly gateway: string;
}

const RTF_UP = 0x1;
const RTF_GATEWAY = 0x2;

/** The default routes of `/proc/net/route`, the preferred first. */
export function defaultRoutes(
  table: string,
  isLittleEndian: boolean = endianness() === 'LE',
): DefaultRoute[] {
  return table
    .split('\n')
    .slice(1)
    .map((line) => line.split('\t').map((field) => field.trim()))
    .map(([iface = '', to = '', via = '', flags = '', , , metric = '', mask = '']) => ({
      isDefault: Number.parseInt(to, 16) === 0 && Number.parseInt(mask, 16) === 0,
      flags: Number.parseInt(flags, 16),
      metric: Number(metric),
      route: { interface: iface, gateway: dotted(via, isLittleEndian) },
    }))
    .filter(({ isDefault, flags }) => isDefault && (flags & RTF_UP) !== 0)
    .filter(({ flags }) => (flags & RTF_GATEWAY) !== 0)
    .sort((one, other) => one.metric - other.metric)
    .map(({ route }) => route);
}

/** The kernel prints the address as the number that its four bytes are in memory. */
function dotted(hex: string, isLittleEndian: boolean): string {
  const bytes = [0, 2, 4, 6].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
  return (isLittleEndian ? bytes.reverse() : bytes).join('.');
}

export function currentRoutes(): DefaultRoute[] {
  try {
    return defaultRoutes(readFileSync('/proc/net/route', 'utf8'));
  } catch {
    return []; // no /proc, or not Linux: the caller says that it found no gateway
  }
}

/** The guest's own source address towards the gateway. */
export function uplinkAddress(route: DefaultRoute | undefined): string | undefined {
  if (route === undefined) return undefined;
  const addresses = networkInterfaces()[route.interface] ?? [];
  return addresses.find(({ family }) => family === 'IPv4')?.address;
}

/** Made by `hawser agent --forward-to-host unix:PATH=tcp:GATEWAY:80`, if it is there. */
export function agentSocket(): ControlEndpoint[] {
  const { XDG_RUNTIME_DIR: dir = '' } = process.env;
  const path = join(isAbsolute(dir) ? dir : '/run', 'hawser/agent.sock');
  return existsSync(path) ? [{ kind: 'unix', path, carrier: 'mux', token: undefined }] : [];
}

export const guestApi = ({ gateway }: DefaultRoute): ControlEndpoint => ({
  kind: 'tcp',
  host: gateway,
  port: HTTP_PORT,
  carrier: 'net',
  token: undefined,
});
