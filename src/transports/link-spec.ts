/** Link specifications: where guests attach, as `--listen` takes them. */
import { isIPv4 } from 'node:net';
import { isIfName } from '../native/if-name.ts';
import { isStreamFraming, type StreamFramingName } from './framing.ts';
import {
  type Endpoint,
  parseEndpoint,
  type StreamAddress,
  unixPathProblem,
} from './stream-address.ts';

/** A parsed `--listen LINK`. */
export type LinkSpec =
  | { readonly scheme: 'qemu' | 'qemu-connect' | 'vpnkit'; readonly address: StreamAddress }
  | { readonly scheme: 'vhost-user' | 'vfkit' | 'bess' | 'fd-socket'; readonly path: string }
  | { readonly scheme: 'qemu-dgram'; readonly path: string; readonly remote: string }
  | {
      readonly scheme: 'fd';
      readonly fd: number;
      /** Undefined: what the kind of the descriptor suggests. */
      readonly framing: DescriptorFramingName | undefined;
    }
  | { readonly scheme: 'stdio' }
  | {
      readonly scheme: 'ws';
      readonly address: Endpoint;
      /** Undefined: any. */
      readonly path: string | undefined;
      /** Undefined: a message is a frame. */
      readonly framing: StreamFramingName | undefined;
    }
  | { readonly scheme: 'tap'; readonly name: string; readonly netns: string | undefined };

/** How a descriptor delimits frames: in a stream of bytes, or one a message, without or with virtio-net headers. */
export type DescriptorFramingName = StreamFramingName | 'packet' | 'packet-vnet';

/** The text is not a valid link. */
export class LinkSpecError extends Error {
  readonly code = 'ERR_HAWSER_LINK_SPEC';
  /** What is wrong, and what is allowed, as the end of a sentence that begins with the text ("must be ..."). */
  readonly why: string;

  constructor(text: string, why: string) {
    super(`bad link '${text}': ${why}`);
    this.name = 'LinkSpecError';
    this.why = why;
  }
}

const FORMS =
  'qemu:PATH, qemu:IP:PORT, qemu-connect:PATH, qemu-connect:IP:PORT, vpnkit:PATH, vpnkit:IP:PORT, vhost-user:PATH, vfkit:PATH, bess:PATH, qemu-dgram:LOCAL,REMOTE, fd-socket:PATH, tap:NAME[@NETNS], ws:IP:PORT[/PATH][?framing=qemu], fd:N[:FRAMING], stdio';

const STDIO = [0, 1] as const;
const FD_MAX = 1_048_575;
const FRAMINGS = 'qemu, vpnkit (or hyperkit), packet or packet-vnet';

const OF_MUX = new Set(['unix', 'connect', 'guest', 'vsock', 'hybrid-vsock', 'vhost-vsock']);

/** @throws LinkSpecError */
export function parseLinkSpec(text: string): LinkSpec {
  const colon = text.indexOf(':');
  const scheme = colon < 0 ? text : text.slice(0, colon);
  const rest = colon < 0 ? '' : text.slice(colon + 1);
  if (scheme === 'qemu' || scheme === 'qemu-connect' || scheme === 'vpnkit') {
    return { scheme, address: parseStreamAddress(text, scheme, rest) };
  }
  if (
    scheme === 'vhost-user' ||
    scheme === 'vfkit' ||
    scheme === 'bess' ||
    scheme === 'fd-socket'
  ) {
    return { scheme, path: parsePath(text, scheme, rest) };
  }
  if (scheme === 'qemu-dgram') return parseQemuDgram(text, rest);
  if (scheme === 'tap') return parseTap(text, rest);
  if (scheme === 'fd') return parseDescriptor(text, rest);
  if (scheme === 'ws') return parseWs(text, rest);
  if (text === 'stdio') return { scheme: 'stdio' };
  const elsewhere = OF_MUX.has(scheme) ? `; ${scheme}: is a link of the multiplexer: --mux` : '';
  throw new LinkSpecError(text, `must be a link: one of ${FORMS}${elsewhere}`);
}

/** Where the link waits for guests; undefined where it does not. */
export function listensAt(spec: LinkSpec): StreamAddress | undefined {
  switch (spec.scheme) {
    case 'qemu':
    case 'vpnkit':
    case 'ws':
      return spec.address;
    case 'vhost-user':
    case 'vfkit':
    case 'bess':
    case 'fd-socket':
    case 'qemu-dgram':
      return { path: spec.path };
    case 'qemu-connect':
    case 'tap':
    case 'fd':
    case 'stdio':
      return undefined;
  }
}

/** Descriptors that the process was started with and that belong to the link. */
export function descriptorsOf(spec: LinkSpec): readonly number[] {
  if (spec.scheme === 'stdio') return STDIO;
  return spec.scheme === 'fd' ? [spec.fd] : [];
}

/** A text with a colon is IP:PORT, unless it has a slash: a path with special characters is written with one. */
function parseStreamAddress(text: string, scheme: string, rest: string): StreamAddress {
  if (rest === '') throw new LinkSpecError(text, `must be ${scheme}:PATH or ${scheme}:IP:PORT`);
  if (rest.includes(':') && !rest.includes('/')) {
    const endpoint = parseEndpoint(rest);
    if (endpoint !== undefined) return endpoint;
    throw portMissing(text, scheme);
  }
  if (looksLikeHost(rest)) throw portMissing(text, scheme);
  return { path: parsePath(text, scheme, rest) };
}

/** Matches a text that was hardly meant as the name of a file: `127.0.0.1`, `localhost`, `8080`. */
const looksLikeHost = (text: string): boolean =>
  isIPv4(text) || /^(localhost|\d+|\*|\[.*\])$/.test(text);

const portMissing = (text: string, scheme: string): LinkSpecError =>
  new LinkSpecError(
    text,
    `must be ${scheme}:IP:PORT, such as ${scheme}:127.0.0.1:1234 or ${scheme}:[::1]:1234, or a path with a /`,
  );

function parsePath(text: string, scheme: string, path: string): string {
  if (path === '') throw new LinkSpecError(text, `must be ${scheme}:PATH`);
  const problem = unixPathProblem(path);
  if (problem !== undefined) throw new LinkSpecError(text, problem);
  return path;
}

function parseQemuDgram(text: string, rest: string): LinkSpec {
  const [path = '', remote = '', ...others] = rest.split(',');
  if (path === '' || remote === '' || others.length > 0 || path === remote) {
    const why = "must be qemu-dgram:LOCAL,REMOTE: the paths of our socket and of QEMU's";
    throw new LinkSpecError(text, why);
  }
  const form = 'qemu-dgram';
  return { scheme: form, path: parsePath(text, form, path), remote: parsePath(text, form, remote) };
}

function parseTap(text: string, rest: string): LinkSpec {
  const at = rest.indexOf('@');
  const name = at < 0 ? rest : rest.slice(0, at);
  const netns = at < 0 ? undefined : rest.slice(at + 1);
  if (!isIfName(name)) {
    throw new LinkSpecError(
      text,
      'must be tap:NAME[@NETNS], with a TAP name of 1 to 15 characters without space, "/" and ":"',
    );
  }
  if (netns === '') throw new LinkSpecError(text, 'must name a network namespace after @');
  return { scheme: 'tap', name, netns };
}

function parseDescriptor(text: string, rest: string): LinkSpec {
  const [, digits = '', framing] = /^(\d{1,7})(?::(.*))?$/.exec(rest) ?? [];
  const fd = digits === '' ? FD_MAX + 1 : Number(digits);
  if (fd > FD_MAX || fd === 1 || fd === 2) {
    throw new LinkSpecError(
      text,
      'must be fd:N[:FRAMING], with the number of a descriptor that hawser was started with, 3 or more',
    );
  }
  if (framing === undefined || isDescriptorFraming(framing)) return { scheme: 'fd', fd, framing };
  throw new LinkSpecError(text, `must name a framing after fd:${fd}: one of ${FRAMINGS}`);
}

const isDescriptorFraming = (name: string): name is DescriptorFramingName =>
  name === 'packet' || name === 'packet-vnet' || isStreamFraming(name);

function parseWs(text: string, rest: string): LinkSpec {
  const [, where = '', path, framing] = /^([^/?]*)(\/[^?]*)?(?:\?framing=(\w*))?$/.exec(rest) ?? [];
  const address = parseEndpoint(where);
  const isPath = path === undefined || /^\/[\w\-.~%!$&'()*+,;=:@/]*$/.test(path);
  const isFraming = framing === undefined || isStreamFraming(framing);
  if (address !== undefined && isPath && isFraming) return { scheme: 'ws', address, path, framing };
  throw new LinkSpecError(
    text,
    'must be ws:IP:PORT[/PATH][?framing=qemu|vpnkit], such as ws:127.0.0.1:8080',
  );
}
