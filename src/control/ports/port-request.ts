/** The body of `POST /v1/ports`, and the publication that it requests. */
import { isAbsolute } from 'node:path';
import * as z from 'zod';
import type { IpAddress } from '../../base/ip-address.ts';
import { once } from '../../base/once.ts';
import { UNIX_PATH_MAX } from '../../native/unix-path.ts';
import type { GuestChoice } from '../../proxy/ports/publication-guest.ts';
import {
  CARRIERS,
  type Carrier,
  type HostAddress,
  PROXY_PROTOCOLS,
  type PublishSpec,
  SOURCE_ADDRESSES,
  type SourceAddress,
} from '../../proxy/ports/publish-spec.ts';
import { MAX_PORT, parseGuest, pathProblem } from '../../proxy/ports/publish-text.ts';
import { SSH_PORT } from '../../proxy/ports/ssh-tunnel.ts';
import { parseAddress } from '../../services/address-text.ts';
import type { ProxyProtocol } from '../../wire/proxy-protocol.ts';
import { problem, quoted } from '../problem.ts';
import type { Schema } from '../schema.ts';

type Maybe<T> = T | null | undefined;

export interface PortRequest {
  readonly protocol?: Maybe<'tcp' | 'udp' | 'unix'>;
  readonly hostAddress?: Maybe<string>;
  readonly hostPort?: Maybe<number>;
  readonly hostPath?: Maybe<string>;
  readonly guest?: Maybe<string>;
  readonly guestAddress?: Maybe<string>;
  readonly guestPort?: Maybe<number>;
  readonly guestPath?: Maybe<string>;
  readonly ssh?: Maybe<SshRequest>;
  readonly via?: Maybe<Carrier>;
  readonly sourceAddress?: Maybe<SourceAddress>;
  readonly proxyProtocol?: Maybe<ProxyProtocol>;
  readonly annotation?: Maybe<string>;
  readonly lease?: Maybe<'connection'>;
}

/** The login at the guest's SSH server, whose port is `guestPort`. */
export interface SshRequest {
  readonly user: string;
  readonly keyFile: string;
  readonly passphrase?: Maybe<string>;
}

/** No defaults and no transformations: it is shown in the OpenAPI document as it is. */
export const portRequestSchema: Schema<PortRequest> = once(() => {
  const path = z.string().max(UNIX_PATH_MAX);
  return z.strictObject({
    protocol: z.enum(['tcp', 'udp', 'unix']).nullish().describe('tcp by default'),
    hostAddress: z
      .string()
      .max(64)
      .nullish()
      .describe('localhost by default, 127.0.0.1 and ::1; * for every address of both families'),
    hostPort: z.int().min(0).max(MAX_PORT).nullish().describe('0 by default: one is picked'),
    hostPath: path.nullish().describe('absolute path of a Unix socket, with the protocol unix'),
    guest: z
      .string()
      .max(64)
      .nullish()
      .describe(
        'an address, a DHCP or static-lease name, or an Ethernet address; by default the first guest',
      ),
    guestAddress: z.string().max(64).nullish().describe('as guest, an address only'),
    guestPort: z.int().min(1).max(MAX_PORT).nullish(),
    guestPath: path.nullish().describe('absolute path of a Unix socket in the guest'),
    ssh: z
      .strictObject({
        user: z.string().min(1).max(256),
        keyFile: z.string().max(4096).describe('absolute path of the private key'),
        passphrase: z.string().max(1024).nullish(),
      })
      .nullish()
      .describe("to guestPath by the guest's SSH server, whose port is guestPort (22)"),
    via: z
      .enum(CARRIERS)
      .nullish()
      .describe('net by default; mux is through the agent in the guest'),
    sourceAddress: z.enum(SOURCE_ADDRESSES).nullish(),
    proxyProtocol: z.enum(PROXY_PROTOCOLS).nullish(),
    annotation: z.string().max(1024).nullish().describe('kept for the client'),
    lease: z
      .literal('connection')
      .nullish()
      .describe('withdraw the port when the connection of this request closes'),
  });
});

/** @throws ProblemError 400 naming the key, the value and what is allowed */
export function parsePortRequest(body: unknown): PortRequest {
  const parsed = portRequestSchema().safeParse(body ?? {});
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const key = issue?.path.join('.') ?? '';
  throw problem(400, key === '' ? `${issue?.message}.` : `${key}: ${issue?.message}.`);
}

/** @throws ProblemError 400 when the keys contradict each other */
export function specOf(request: PortRequest): PublishSpec {
  const { protocol, hostPath, guestPath, guestPort } = request;
  if (guestPath == null && guestPort == null) {
    throw problem(400, 'guestPort is missing: an integer from 1 to 65535.');
  }
  if (request.ssh != null) return sshSpecOf(request, request.ssh);
  if (guestPath != null && (guestPort ?? request.guestAddress ?? request.guest) != null) {
    throw problem(400, 'guestPath: a Unix socket has no guest, guestAddress or guestPort.');
  }
  const guest = {
    ...choiceOf(request),
    guestPort: guestPort ?? 0,
    guestPath: pathOf('guestPath', guestPath),
    via: request.via ?? undefined,
    sourceAddress: request.sourceAddress ?? undefined,
    proxyProtocol: request.proxyProtocol ?? undefined,
    annotation: request.annotation ?? undefined,
  };
  if (protocol === 'unix') {
    const at = pathOf('hostPath', hostPath);
    if (at === undefined) throw problem(400, 'hostPath is missing: an absolute path.');
    if (request.hostAddress != null || request.hostPort != null) {
      throw problem(400, 'hostPath: a Unix socket has no hostAddress and no hostPort.');
    }
    return { protocol, hostPath: at, ...guest };
  }
  if (hostPath != null) throw problem(400, 'hostPath: needs the protocol unix.');
  const hostAddress = hostAddressOf(request.hostAddress);
  return { protocol: protocol ?? 'tcp', hostAddress, hostPort: request.hostPort ?? 0, ...guest };
}

function sshSpecOf(request: PortRequest, { user, keyFile, passphrase }: SshRequest): PublishSpec {
  const hostPath = pathOf('hostPath', request.hostPath);
  const guestPath = pathOf('guestPath', request.guestPath);
  if (request.protocol !== 'unix' || hostPath === undefined || guestPath === undefined) {
    throw problem(400, 'ssh: needs the protocol unix, hostPath and guestPath.');
  }
  if (!isAbsolute(keyFile)) throw problem(400, `ssh.keyFile: ${quoted(keyFile)} is not absolute.`);
  const { hostAddress, hostPort, sourceAddress, proxyProtocol, via } = request;
  if ((hostAddress ?? hostPort ?? sourceAddress ?? proxyProtocol ?? via) != null) {
    throw problem(400, 'ssh: takes no hostAddress, hostPort, sourceAddress, proxyProtocol or via.');
  }
  return {
    ...{ protocol: 'unix', hostPath, ...choiceOf(request), guestPath },
    guestPort: request.guestPort ?? SSH_PORT,
    ssh: { user, keyFile, passphrase: passphrase ?? undefined },
    annotation: request.annotation ?? undefined,
  };
}

function hostAddressOf(text: string | null | undefined): HostAddress {
  if (text === '*') return undefined;
  return text === 'localhost' ? text : (addressOf('hostAddress', text) ?? 'localhost');
}

/** `guest` and `guestAddress` are two names of one thing: either accepts an address. */
function choiceOf({ guest, guestAddress }: PortRequest): GuestChoice {
  if (guest == null) return { guestAddress: addressOf('guestAddress', guestAddress) };
  if (guestAddress != null) throw problem(400, 'guest: give it or guestAddress, not both.');
  const choice = parseGuest(guest);
  if (choice !== undefined) return choice;
  throw problem(400, `guest: ${quoted(guest)} is no address, name or Ethernet address.`);
}

function addressOf(key: string, text: string | null | undefined): IpAddress | undefined {
  if (text == null) return undefined;
  const address = parseAddress(text);
  if (address === undefined) throw problem(400, `${key}: ${quoted(text)} is not an IP address.`);
  return address;
}

function pathOf(key: string, text: string | null | undefined): string | undefined {
  if (text == null) return undefined;
  const why = pathProblem(text);
  if (why !== undefined) throw problem(400, `${key}: ${quoted(text)} ${why}.`);
  return text;
}
