/**
 * Publications as text: `[HOSTIP:]HOSTPORT:[GUESTIP:]GUESTPORT[/tcp|udp]`, `unix:HOSTPATH:GUESTIP:PORT` or
 * `unix:HOSTPATH:GUESTPATH`.
 */
import { type IpAddress, ipv4 } from '../../base/ip-address.ts';
import { parseAddress } from '../../services/address-text.ts';
import { PublishError, type PublishSpec, type UnixSpec } from './publish-spec.ts';

/** The text is no publication. */
export class PublishSyntaxError extends PublishError {
  /** What is wrong, and what is allowed; it follows the text in a sentence ("must be ..."). */
  readonly why: string;

  constructor(text: string, why: string) {
    super('ERR_HAWSER_PUBLISH_SYNTAX', `cannot publish "${text}": it ${why}`);
    this.name = 'PublishSyntaxError';
    this.why = why;
  }
}

export const LOOPBACK: IpAddress = ipv4(0x7f00_0001);
export const MAX_PORT = 65_535;
/** A range opens a socket a port. */
const MAX_RANGE = 1024;
const FORM = '[HOSTIP:]HOSTPORT:[GUESTIP:]GUESTPORT[/tcp|udp]';
const UNIX_FORM = 'unix:HOSTPATH:GUESTIP:PORT or unix:HOSTPATH:GUESTPATH';
/** What `sun_path` holds, its NUL aside. */
export const MAX_UNIX_PATH = 107;

/**
 * @returns one specification per port of a range
 * @throws PublishSyntaxError that names the part at fault
 */
export function parsePublish(text: string): PublishSpec[] {
  if (text.startsWith('unix:')) return [parseUnix(text)];
  const slash = text.lastIndexOf('/');
  const protocol = slash < 0 ? 'tcp' : text.slice(slash + 1);
  if (protocol !== 'tcp' && protocol !== 'udp') {
    throw syntax(text, `"${protocol}" is no protocol: tcp or udp`);
  }
  const parts = splitParts(slash < 0 ? text : text.slice(0, slash));
  let at = 0;
  const nextAddress = (): IpAddress | undefined => {
    const part = parts[at] ?? '';
    if (looksLikePorts(part)) return undefined;
    const address = parseAddress(stripBrackets(part));
    if (address === undefined) throw syntax(text, `"${part}" is neither an address nor a port`);
    at++;
    return address;
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
  const hostAddress = nextAddress() ?? LOOPBACK;
  const host = nextPorts('host port', 0);
  const guestAddress = nextAddress();
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
      guestAddress,
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
  if (target.startsWith('/')) {
    const guestProblem = pathProblem(target);
    if (guestProblem !== undefined) throw syntax(text, `"${target}" ${guestProblem}`, UNIX_FORM);
    return { ...unix, guestAddress: undefined, guestPort: 0, guestPath: target };
  }
  const [addressText = '', portText = '', more] = splitParts(target);
  const guestAddress = parseAddress(stripBrackets(addressText));
  const ports = parsePorts(portText, 1);
  if (guestAddress === undefined) {
    throw syntax(text, `"${target}" is neither GUESTIP:PORT nor an absolute path`, UNIX_FORM);
  }
  if (ports === undefined || ports.first !== ports.last || more !== undefined) {
    throw syntax(text, `"${portText}" is no guest port: 1 to ${MAX_PORT}`, UNIX_FORM);
  }
  return { ...unix, guestAddress, guestPort: ports.first };
}

/** @returns why `path` cannot be that of a Unix socket, if it cannot; follows the path in a sentence */
export function pathProblem(path: string): string | undefined {
  if (!path.startsWith('/')) return 'is not an absolute path';
  if (path.includes('\0')) return 'contains a NUL character';
  if (Buffer.byteLength(path) > MAX_UNIX_PATH) return `is longer than ${MAX_UNIX_PATH} bytes`;
  return undefined;
}

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

const looksLikePorts = (part: string): boolean => /^[\d-]*$/.test(part);

/** Read `PORT` or `FIRST-LAST`. @returns undefined when it is neither, or goes below `min` */
export function parsePorts(part: string, min: number): PortRange | undefined {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part);
  if (match === null) return undefined;
  const first = Number(match[1]);
  const last = match[2] === undefined ? first : Number(match[2]);
  // A range that begins at 0 would mix a picked port with given ones.
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
