/** The text forms of `--mux LINK` and of the agent's links. */
import { resolve } from 'node:path';
import { formatGuestName, type GuestChoice } from '../../proxy/ports/publication-guest.ts';
import { parseGuest } from '../../proxy/ports/publish-text.ts';
import { parseEndpoint, unixPathProblem } from '../stream-address.ts';

export type MuxLinkSpec =
  /** Listen on a Unix socket for agents that connect. */
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'connect-unix'; readonly path: string }
  /** A guest through the virtual network, the first by default. */
  | ({ readonly kind: 'guest'; readonly port: number } & GuestChoice)
  /** Firecracker's and Cloud Hypervisor's Unix socket. */
  | { readonly kind: 'hybrid-vsock'; readonly path: string; readonly port: number }
  | { readonly kind: 'vsock'; readonly cid: number; readonly port: number }
  /** A vhost-user device that hawser serves to QEMU. */
  | { readonly kind: 'vhost-vsock'; readonly path: string; readonly port: number };

/** Links at the agent's end. */
export type AgentLinkSpec =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  /** `cid` is left out where the agent listens. */
  | { readonly kind: 'vsock'; readonly cid: number | undefined; readonly port: number };

export const MUX_LINK_FORMS =
  'unix:PATH, connect:unix:PATH, guest:[GUEST:]PORT, hybrid-vsock:PATH:PORT, vsock:CID:PORT or vhost-vsock:PATH:PORT';
export const AGENT_LISTEN_FORMS = 'unix:PATH, tcp:IP:PORT or vsock:PORT';
export const AGENT_CONNECT_FORMS = 'unix:PATH, tcp:IP:PORT or vsock:CID:PORT';

const OF_GUESTS = new Set(['qemu', 'qemu-connect', 'vhost-user', 'tap']);

/** The message is the text followed by `why`. */
export class MuxLinkSpecError extends Error {
  readonly code = 'ERR_HAWSER_MUX_LINK';
  readonly why: string;

  constructor(text: string, why: string) {
    super(`mux link "${text}" ${why}`);
    this.name = 'MuxLinkSpecError';
    this.why = why;
  }
}

const MAX_TCP_PORT = 65_535;
/** VMADDR_PORT_ANY and VMADDR_CID_ANY are wildcards. */
const VSOCK_ANY = 2 ** 32 - 1;

/** @throws MuxLinkSpecError */
export function parseMuxLink(text: string): MuxLinkSpec {
  const [scheme = '', rest] = cutAtColon(text);
  switch (scheme) {
    case 'unix':
      return { kind: 'unix', path: pathIn(text, rest) };
    case 'connect': {
      if (!rest.startsWith('unix:')) throw new MuxLinkSpecError(text, 'must be connect:unix:PATH');
      return { kind: 'connect-unix', path: pathIn(text, rest.slice('unix:'.length)) };
    }
    case 'guest':
      return { kind: 'guest', ...guestAndPort(text, rest) };
    case 'hybrid-vsock':
    case 'vhost-vsock':
      return { kind: scheme, ...pathAndPort(text, rest) };
    case 'vsock': {
      const [cid, port] = cutAtColon(rest);
      const form = 'vsock:CID:PORT';
      return {
        kind: 'vsock',
        cid: numberIn(text, cid, VSOCK_ANY - 1, form),
        port: numberIn(text, port, VSOCK_ANY - 1, form),
      };
    }
    default: {
      const elsewhere = OF_GUESTS.has(scheme)
        ? `; ${scheme}: is where guests attach: --listen`
        : '';
      throw new MuxLinkSpecError(text, `must be ${MUX_LINK_FORMS}${elsewhere}`);
    }
  }
}

/** @throws MuxLinkSpecError */
export function parseAgentLink(text: string, use: 'listen' | 'connect'): AgentLinkSpec {
  // `connect:unix:PATH` is the form that `--mux` takes.
  const plain = use === 'connect' && text.startsWith('connect:') ? text.slice(8) : text;
  const [scheme = '', rest] = cutAtColon(plain);
  const forms = use === 'listen' ? AGENT_LISTEN_FORMS : AGENT_CONNECT_FORMS;
  if (scheme === 'unix') return { kind: 'unix', path: pathIn(text, rest) };
  if (scheme === 'tcp') {
    const endpoint = parseEndpoint(rest);
    if (endpoint === undefined) throw new MuxLinkSpecError(text, 'must be tcp:IP:PORT');
    return { kind: 'tcp', ...endpoint };
  }
  if (scheme !== 'vsock') throw new MuxLinkSpecError(text, `must be ${forms}`);
  if (use === 'listen') {
    const port = numberIn(text, rest, VSOCK_ANY - 1, 'vsock:PORT');
    return { kind: 'vsock', cid: undefined, port };
  }
  const [cid, port] = cutAtColon(rest);
  const form = 'vsock:CID:PORT, where CID 2 is the host';
  return {
    kind: 'vsock',
    cid: numberIn(text, cid, VSOCK_ANY - 1, form),
    port: numberIn(text, port, VSOCK_ANY - 1, form),
  };
}

/** In the form that {@link parseMuxLink} reads; paths are absolute. */
export function formatMuxLink(spec: MuxLinkSpec): string {
  switch (spec.kind) {
    case 'unix':
      return `unix:${spec.path}`;
    case 'connect-unix':
      return `connect:unix:${spec.path}`;
    case 'guest':
      return `guest:${formatGuest(spec)}${spec.port}`;
    case 'hybrid-vsock':
    case 'vhost-vsock':
      return `${spec.kind}:${spec.path}:${spec.port}`;
    case 'vsock':
      return `vsock:${spec.cid}:${spec.port}`;
  }
}

/** The path of the Unix socket that the link makes, if it makes one. */
export function muxLinkListensAt(spec: MuxLinkSpec): string | undefined {
  switch (spec.kind) {
    case 'unix':
    case 'vhost-vsock':
      return spec.path;
    case 'hybrid-vsock':
      return `${spec.path}_${spec.port}`; // for connections that the guest initiates
    case 'connect-unix':
    case 'guest':
    case 'vsock':
      return undefined;
  }
}

function cutAtColon(text: string): readonly [string, string] {
  const colon = text.indexOf(':');
  return colon < 0 ? [text, ''] : [text.slice(0, colon), text.slice(colon + 1)];
}

function pathIn(text: string, path: string): string {
  const problem = unixPathProblem(path) ?? unixPathProblem(resolve(path));
  if (problem !== undefined) throw new MuxLinkSpecError(text, problem);
  return resolve(path);
}

function pathAndPort(text: string, rest: string): { readonly path: string; readonly port: number } {
  const colon = rest.lastIndexOf(':');
  const form = `${text.slice(0, text.indexOf(':'))}:PATH:PORT`;
  const port = numberIn(text, colon < 0 ? '' : rest.slice(colon + 1), VSOCK_ANY - 1, form);
  return { path: pathIn(text, rest.slice(0, colon)), port };
}

function guestAndPort(text: string, rest: string): GuestChoice & { readonly port: number } {
  const form = 'guest:PORT or guest:GUEST:PORT';
  const colon = rest.lastIndexOf(':');
  const port = numberIn(text, rest.slice(colon + 1), MAX_TCP_PORT, form);
  if (colon < 0) return { guestAddress: undefined, port };
  const choice = parseGuest(rest.slice(0, colon));
  if (choice !== undefined) return { ...choice, port };
  throw new MuxLinkSpecError(text, `must be ${form}`);
}

function formatGuest({ guest, guestAddress }: GuestChoice): string {
  if (guest !== undefined) return `${formatGuestName(guest)}:`;
  if (guestAddress === undefined) return '';
  return guestAddress.family === 6 ? `[${guestAddress}]:` : `${guestAddress}:`;
}

function numberIn(text: string, digits: string, max: number, form: string): number {
  const value = Number(digits);
  if (/^\d{1,10}$/.test(digits) && value >= 1 && value <= max) return value;
  throw new MuxLinkSpecError(text, `must be ${form}`);
}
