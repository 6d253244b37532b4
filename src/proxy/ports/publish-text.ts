/**
 * Publications as text: `[HOSTIP:]HOSTPORT:[GUEST:]GUESTPORT[/tcp|udp]`, `unix:HOSTPATH:GUEST:PORT`,
 * `unix:HOSTPATH:GUESTPATH` or `unix:HOSTPATH:ssh-tunnel://...`. GUEST is an address, a name or an Ethernet address; the six pairs of the last
 * may be joined by colons too, for nothing else in a publication has so many parts.
 */
import { IpAddress } from '../../base/ip-address.ts';
import { UNIX_PATH_MAX } from '../../native/unix-path.ts';
import { parseAddress } from '../../services/address-text.ts';
import { type GuestChoice, parseGuestName } from './publication-guest.ts';
import { type HostAddress, PublishError, type PublishSpec, type UnixSpec } from './publish-spec.ts';
import {
  parseSshTunnel,
  SSH_TUNNEL,
  SSH_TUNNEL_FORM,
  type SshSide,
  TUNNEL_PROBLEMS,
} from './ssh-tunnel.ts';

/** The text is not a publication. */
export class PublishSyntaxError extends PublishError {
  /** What is wrong, and what is allowed, as the end of a sentence that begins with the text ("must be ..."). */
  readonly why: string;

  constructor(text: string, why: string) {
    super('ERR_HAWSER_PUBLISH_SYNTAX', `cannot publish "${text}": it ${why}`);
    this.name = 'PublishSyntaxError';
    this.why = why;
  }
}

export const MAX_PORT = 65_535;
/** A range opens one socket per port. */
const MAX_RANGE = 1024;
const FORM = '[HOSTIP:]HOSTPORT:[GUEST:]GUESTPORT[/tcp|udp]';
const UNIX_FORM = `unix:HOSTPATH:GUEST:PORT, unix:HOSTPATH:GUESTPATH or unix:HOSTPATH:${SSH_TUNNEL_FORM}`;
const ANY6 = new IpAddress(0, 0, 0, 0);

/**
 * @returns one specification per port of a range
 * @throws PublishSyntaxError that names the invalid part
 */
export function parsePublish(text: string): PublishSpec[] {
  const given: unknown = text; // of a program without types
  if (typeof given !== 'string') throw new PublishSyntaxError(typeof given, 'must be a text');
  if (text.startsWith('unix:')) return [parseUnix(text)];
  const slash = text.lastIndexOf('/');
  const protocol = slash < 0 ? 'tcp' : text.slice(slash + 1);
  if (protocol !== 'tcp' && protocol !== 'udp') {
    throw syntax(text, `"${protocol}" is no protocol: tcp or udp`);
  }
  const parts = splitParts(slash < 0 ? text : text.slice(0, slash));
  let at = 0;
  const nextHost = (): HostAddress => {
    const part = parts[at] ?? '';
    if (looksLikePorts(part)) return 'localhost';
    at++;
    const host = parseHostAddress(part);
    if (host === undefined) throw syntax(text, `"${part}" is neither an address nor a port`);
    return host.address;
  };
  const nextGuest = (): GuestChoice => {
    const part = guestPart(parts, at);
    if (looksLikePorts(part)) return FIRST_GUEST;
    at += part === parts[at] ? 1 : MAC_PAIRS;
    const guest = parseGuest(part);
    if (guest === undefined) {
      throw syntax(text, `"${part}" is neither an address, nor a name, nor a port`);
    }
    return guest;
  };
  const nextPorts = (what: string, min: number): PortRange => {
    const part = parts[at++];
    if (part === undefined) throw syntax(text, `the ${what} is missing`);
    const ports = parsePorts(part, min);
    if (ports === undefined) {
      throw syntax(text, `"${part}" is no ${what}: ${min} to ${MAX_PORT}, or a range FIRST-LAST`);
    }
    return ports;
  };
  const hostAddress = nextHost();
  const host = nextPorts('host port', 0);
  const choice = nextGuest();
  const guest = nextPorts('guest port', 1);
  if (at < parts.length) throw syntax(text, `"${parts.slice(at).join(':')}" is too much`);
  if (host.last - host.first !== guest.last - guest.first) {
    throw syntax(text, 'the two port ranges differ in length');
  }
  if (guest.last - guest.first >= MAX_RANGE) {
    throw syntax(text, `a range has at most ${MAX_RANGE} ports`);
  }
  const specs: PublishSpec[] = [];
  for (let i = 0; i <= guest.last - guest.first; i++) {
    specs.push({
      protocol,
      hostAddress,
      hostPort: host.first + i,
      ...choice,
      guestPort: guest.first + i,
    });
  }
  return specs;
}

function parseUnix(text: string): UnixSpec {
  const body = text.slice('unix:'.length);
  const colon = body.indexOf(':');
  const hostPath = colon < 0 ? body : body.slice(0, colon);
  const target = colon < 0 ? '' : body.slice(colon + 1);
  const problem = pathProblem(hostPath);
  if (problem !== undefined) throw syntax(text, `"${hostPath}" ${problem}`, UNIX_FORM);
  const unix = { protocol: 'unix', hostPath } as const;
  if (target.startsWith(SSH_TUNNEL)) return { ...unix, ...parseTunnel(text, target) };
  if (target.startsWith('/')) {
    const guestProblem = pathProblem(target);
    if (guestProblem !== undefined) throw syntax(text, `"${target}" ${guestProblem}`, UNIX_FORM);
    return { ...unix, guestAddress: undefined, guestPort: 0, guestPath: target };
  }
  const lastColon = target.lastIndexOf(':');
  const guest = parseGuest(target.slice(0, Math.max(lastColon, 0)));
  const portText = target.slice(lastColon + 1);
  const ports = parsePorts(portText, 1);
  if (guest === undefined) {
    throw syntax(text, `"${target}" is neither GUEST:PORT nor an absolute path`, UNIX_FORM);
  }
  if (ports === undefined || ports.first !== ports.last) {
    throw syntax(text, `"${portText}" is no guest port: 1 to ${MAX_PORT}`, UNIX_FORM);
  }
  return { ...unix, ...guest, guestPort: ports.first };
}

function parseTunnel(text: string, target: string): SshSide {
  const side = parseSshTunnel(target);
  if (typeof side === 'string') throw syntax(text, TUNNEL_PROBLEMS[side], UNIX_FORM);
  const { guestPath, ssh } = side;
  const problem = pathProblem(guestPath);
  if (problem !== undefined) throw syntax(text, `"${guestPath}" ${problem}`, UNIX_FORM);
  if (ssh.keyFile.startsWith('/')) return side;
  throw syntax(text, `the key "${ssh.keyFile}" is not an absolute path`, UNIX_FORM);
}

const FIRST_GUEST: GuestChoice = { guestAddress: undefined };
const MAC_PAIRS = 6;

/** The part at `at`, or six of them that are an Ethernet address before the port. */
function guestPart(parts: readonly string[], at: number): string {
  const pairs = parts.slice(at, at + MAC_PAIRS);
  const isMac = parts.length > at + MAC_PAIRS && pairs.every((pair) => /^[0-9a-f]{2}$/i.test(pair));
  return isMac ? pairs.join(':') : (parts[at] ?? '');
}

/** Parse GUEST. @returns undefined when it is invalid */
export function parseGuest(text: string): GuestChoice | undefined {
  const guestAddress = parseAddress(stripBrackets(text));
  if (guestAddress !== undefined) return { guestAddress };
  const guest = parseGuestName(text);
  return guest === undefined ? undefined : { guestAddress: undefined, guest };
}

/** Parse HOSTIP; `*` and `[::]` are every address of both families. @returns undefined when it is invalid */
export function parseHostAddress(text: string): { readonly address: HostAddress } | undefined {
  if (text === 'localhost') return { address: 'localhost' };
  if (text === '*') return { address: undefined };
  const address = parseAddress(stripBrackets(text));
  if (address === undefined) return undefined;
  return { address: address.equals(ANY6) ? undefined : address };
}

/** @returns why `path` cannot be that of a Unix socket, if it cannot; follows the path in a sentence */
export function pathProblem(path: string): string | undefined {
  if (!path.startsWith('/')) return 'is not an absolute path';
  if (path.includes('\0')) return 'contains a NUL character';
  if (Buffer.byteLength(path) > UNIX_PATH_MAX) return `is longer than ${UNIX_PATH_MAX} bytes`;
  return undefined;
}

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** `52-54-00-12-34-56` is not a range. */
const looksLikePorts = (part: string): boolean => /^\d*(-\d*)?$/.test(part);

/** Parse `PORT` or `FIRST-LAST`. @returns undefined when it is neither, or below `min` */
export function parsePorts(part: string, min: number): PortRange | undefined {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part);
  if (match === null) return undefined;
  const first = Number(match[1]);
  const last = match[2] === undefined ? first : Number(match[2]);
  // A range that starts at 0 would mix a picked port with given ones.
  const lowest = match[2] === undefined ? min : 1;
  return first < lowest || last < first || last > MAX_PORT ? undefined : { first, last };
}

/** Split at colons, but not at those of an IPv6 address in brackets. */
const splitParts = (text: string): string[] => text.split(/:(?![^[]*\])/);

/** `::1` of `[::1]`; everything else as it is. */
export const stripBrackets = (part: string): string =>
  part.startsWith('[') && part.endsWith(']') && part.includes(':') ? part.slice(1, -1) : part;

const syntax = (text: string, why: string, form: string = FORM): PublishSyntaxError =>
  new PublishSyntaxError(text, `must be ${form}: ${why}`);
