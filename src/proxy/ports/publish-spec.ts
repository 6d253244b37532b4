/**
 * Publications as data. A publication listens on one TCP or UDP port or
 * Unix socket of the host, and leads to one port of a guest, or through the agent to a Unix socket.
 */
import type { IpAddress } from '../../base/ip-address.ts';
import type { ProxyProtocol } from '../../wire/proxy-protocol.ts';
import { formatGuestName, type GuestName } from './publication-guest.ts';

/** The client that the guest sees: the real one where it can answer it, or the gateway. */
export const SOURCE_ADDRESSES = ['preserve', 'gateway'] as const;
export type SourceAddress = (typeof SOURCE_ADDRESSES)[number];

export const PROXY_PROTOCOLS = ['v1', 'v2'] as const;

/** `net` is a connection of hawser's stack; `mux` a channel to the agent in the guest. */
export const CARRIERS = ['net', 'mux'] as const;
export type Carrier = (typeof CARRIERS)[number];

/** The ways that a publication may take: the guest's SSH server where it has a login there. */
export const WAYS = ['net', 'mux', 'ssh'] as const;
export type Way = (typeof WAYS)[number];

/** A login at the guest's SSH server. */
export interface SshLogin {
  readonly user: string;
  /** Of the private key: an absolute path. */
  readonly keyFile: string;
  readonly passphrase: string | undefined;
}

/** The target of a publication, and how it is reached. */
export interface GuestSide {
  /** Undefined without a `guest`: the first guest. Through the agent: its own loopback. */
  readonly guestAddress: IpAddress | undefined;
  /** Instead of an address. */
  readonly guest?: GuestName | undefined;
  /** 0 when it leads to a Unix socket. */
  readonly guestPort: number;
  /** A Unix socket in the guest. */
  readonly guestPath?: string | undefined;
  /** Undefined: `mux` for a Unix socket and for addresses behind the guest, else `net`. */
  readonly via?: Carrier | undefined;
  /** Undefined: the table's default. */
  readonly sourceAddress?: SourceAddress | undefined;
  /** Sent to the guest's server before the data. Not for UDP. */
  readonly proxyProtocol?: ProxyProtocol | undefined;
  /** A client's annotation, stored for it. */
  readonly annotation?: string | undefined;
  /** Of a port published by a drop-in API: its clients identify it by their request. */
  readonly asked?: AskedAddresses | undefined;
}

/** As the client wrote them; '' where it left one out. */
export interface AskedAddresses {
  readonly host: string;
  readonly guest: string;
}

/** `localhost`: 127.0.0.1 and ::1. Undefined: every address of both families. */
export type HostAddress = IpAddress | 'localhost' | undefined;

export interface PortSpec extends GuestSide {
  readonly protocol: 'tcp' | 'udp';
  readonly hostAddress: HostAddress;
  /** 0: the system picks one. */
  readonly hostPort: number;
}

/** A port that one socket serves. */
export interface SocketSpec extends PortSpec {
  readonly hostAddress: IpAddress | undefined;
}

export interface UnixSpec extends GuestSide {
  readonly protocol: 'unix';
  readonly hostPath: string;
  /** By the guest's SSH server, whose port is `guestPort`, to `guestPath`. */
  readonly ssh?: SshLogin | undefined;
}

export type PublishSpec = PortSpec | UnixSpec;

/**
 * A port cannot be published. `code` is the system's (`EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL`, ...),
 * or one of ours:
 *
 * | code | why |
 * |---|---|
 * | `ERR_HAWSER_PUBLISH_SYNTAX` | the specification is invalid, or contradicts itself |
 * | `ERR_HAWSER_PUBLISH_UNSUPPORTED` | it requests something that is not supported |
 * | `ERR_HAWSER_PUBLISH_KEY` | the private key of an SSH forward cannot be read or used |
 * | `ERR_HAWSER_PUBLISH_NO_AGENT` | it needs the agent, and no link to one is configured |
 * | `ERR_HAWSER_PUBLISH_FORBIDDEN` | this owner may not publish there |
 * | `ERR_HAWSER_PUBLISH_KEPT` | somebody else has the place, or had it a moment ago |
 * | `ERR_HAWSER_PUBLISH_LIMIT` | there are too many already |
 * | `ERR_HAWSER_PUBLISH_CLOSED` | hawser is shutting down |
 */
export class PublishError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'PublishError';
    this.code = code;
  }
}

/** `127.0.0.1:8080/tcp`, `[::1]:53/udp`, `*:80/tcp`, `unix:/run/x.sock`. */
export function formatHostSide(spec: PublishSpec): string {
  if (spec.protocol === 'unix') return `unix:${spec.hostPath}`;
  return `${formatEndpoint(spec.hostAddress, spec.hostPort, '*')}/${spec.protocol}`;
}

/** `192.168.127.2:80`, `first guest:80`, `/run/docker.sock`. */
export function formatGuestSide(spec: PublishSpec): string {
  const { guest, guestAddress, guestPath, guestPort } = spec;
  const instead = guest === undefined ? 'first guest' : formatGuestName(guest);
  return guestPath ?? formatEndpoint(guestAddress, guestPort, instead);
}

export function formatEndpoint(address: HostAddress, port: number, instead: string): string {
  if (address === 'localhost') return `localhost:${port}`;
  const text = address?.family === 6 ? `[${address}]` : (address?.toString() ?? instead);
  return `${text}:${port}`;
}

/** The message for a failure to listen. */
export function listenError(spec: PublishSpec, code: string, cause?: Error): PublishError {
  const message = `cannot publish ${formatHostSide(spec)}: ${adviceFor(spec, code)}`;
  return new PublishError(code, message, cause === undefined ? {} : { cause });
}

function adviceFor(spec: PublishSpec, code: string): string {
  switch (code) {
    case 'EADDRINUSE':
      return spec.protocol === 'unix'
        ? 'a process serves that socket already; use another path'
        : 'something on the host listens there already; use another host port, or 0 to have one picked';
    case 'EACCES':
      return spec.protocol === 'unix'
        ? 'not permitted; use a path in a directory that hawser may write to (more: --sandbox-allow of hawser run)'
        : `not permitted; take a host port from 1024 up, or allow it: sysctl -w net.ipv4.ip_unprivileged_port_start=${spec.hostPort}`;
    case 'EADDRNOTAVAIL':
      return 'the host has no such address; use one that `ip address` shows, 127.0.0.1 or 0.0.0.0';
    case 'EAFNOSUPPORT':
      return 'the host has no IPv6; use an IPv4 address';
    case 'EEXIST':
      return 'the path exists and is not a socket; remove it, or use another path';
    case 'ENOENT':
    case 'ENOTDIR':
      return 'the directory does not exist; create it, or use another path';
    case 'ENAMETOOLONG':
      return 'the path is too long for a Unix socket; choose a shorter one';
    case 'EMFILE':
    case 'ENFILE':
      return 'no descriptors left; raise the limit (ulimit -n)';
    default:
      return code;
  }
}
