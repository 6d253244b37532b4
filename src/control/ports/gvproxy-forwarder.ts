/**
 * gvproxy's `/services/forwarder/{all,expose,unexpose}` on our table, as `pkg/services/forwarder/ports.go`
 * of gvisor-tap-vsock answers it: JSON as `text/plain`, errors as lines of text, any method for `all`.
 *
 * Differences: a remote that is a name is an error instead of a crash; an empty remote host is the first
 * guest for clients on the host; the listeners of hawser's other APIs are listed and may be withdrawn.
 */
import type { IpAddress } from '../../base/ip-address.ts';
import type { PublishedPort } from '../../proxy/ports/port-table.ts';
import {
  formatEndpoint,
  type PortSpec,
  PublishError,
  type PublishSpec,
  type UnixSpec,
} from '../../proxy/ports/publish-spec.ts';
import { pathProblem } from '../../proxy/ports/publish-text.ts';
import {
  formatSshTunnel,
  parseSshTunnel,
  type SshSide,
  type SshTunnelProblem,
} from '../../proxy/ports/ssh-tunnel.ts';
import { parseAddress } from '../../services/address-text.ts';
import { EMPTY, errorAnswer, GoHttpError, goJson, notFound } from '../gvproxy/go-http.ts';
import { goStruct, textOf } from '../gvproxy/go-struct.ts';
import type { Answer, CompatRequest } from '../route.ts';
import { asGoListens } from './go-addresses.ts';
import { goListenError, parseGoJson, splitHostPort } from './go-errors.ts';
import { type PortAccess, shownHost } from './port-access.ts';

export const GVPROXY_PREFIX = '/services/forwarder/';

export interface ExposeRequest {
  readonly local: string;
  readonly remote: string;
  readonly protocol: string;
}

export async function gvproxyForwarder(request: CompatRequest, ports: PortAccess): Promise<Answer> {
  try {
    switch (request.path.slice(GVPROXY_PREFIX.length)) {
      case 'all':
        return goJson(listing(ports));
      case 'expose':
        await expose(bodyOf(request), ports);
        return EMPTY;
      case 'unexpose':
        unexpose(bodyOf(request), ports);
        return EMPTY;
      default:
        throw notFound();
    }
  } catch (error) {
    if (!(error instanceof GoHttpError)) throw error;
    return errorAnswer(error);
  }
}

function bodyOf({ method, path, body }: CompatRequest): ExposeRequest {
  if (method !== 'POST') throw new GoHttpError(400, 'post only');
  const parsed = parseGoJson(body);
  if ('message' in parsed) throw new GoHttpError(400, parsed.message);
  const isExpose = path.endsWith('/expose');
  const type = isExpose ? 'ExposeRequest' : 'UnexposeRequest';
  try {
    const struct = goStruct(parsed.value, `types.${type}`, type);
    const text = (key: string): string => textOf(struct, key, `${type}.${key}`);
    return {
      local: text('local'),
      remote: isExpose ? text('remote') : '',
      protocol: text('protocol') || 'tcp',
    };
  } catch (error) {
    throw new GoHttpError(400, error instanceof Error ? error.message : String(error));
  }
}

/** @throws GoHttpError */
export async function expose(body: ExposeRequest, ports: PortAccess): Promise<void> {
  const { local, protocol, remote } = body;
  const hasPlainRemote = protocol !== 'unix' && protocol !== 'npipe';
  const split = hasPlainRemote ? splitHostPort(remote) : undefined;
  if (split !== undefined && 'problem' in split) throw new GoHttpError(400, split.problem);
  if (find(protocol, local, ports)?.outdated === false) {
    throw new GoHttpError(500, `proxy already running for ${protocol} on ${local}`);
  }
  const spec = specOf(protocol, body);
  try {
    await ports.publish(spec, false);
  } catch (error) {
    if (error instanceof PublishError) throw new GoHttpError(500, goListenError(spec, error));
    throw error;
  }
}

function specOf(protocol: string, { local, remote }: ExposeRequest): PublishSpec {
  switch (protocol) {
    case 'tcp':
    case 'udp': {
      const { host, ...place } = localOf(protocol, local);
      return { protocol, ...place, ...remoteOf(remote), asked: { host, guest: remote } };
    }
    case 'unix': {
      const [, scheme = '', rest = ''] = /^([a-z-]+):\/\/(.*)$/.exec(remote) ?? [];
      const why = pathProblem(local);
      if (why !== undefined) throw new GoHttpError(500, `listen unix ${local}: ${why}`);
      if (scheme === 'ssh-tunnel') {
        return { protocol, hostPath: local, ...sshSideOf(remote) };
      }
      if (scheme !== 'tcp') {
        const what = scheme === '' ? remote : scheme;
        throw new GoHttpError(
          500,
          `remote protocol for unix forwarder is not implemented: ${what}`,
        );
      }
      return { protocol, hostPath: local, ...remoteOf(rest) };
    }
    case 'npipe':
      throw new GoHttpError(500, 'named pipes are not supported by this platform');
    default:
      throw new GoHttpError(500, `unknown protocol ${protocol}`);
  }
}

const TUNNEL_ERRORS: Readonly<Record<SshTunnelProblem, string>> = {
  'not-a-url': 'failed to parse remote uri',
  'no-key': 'key not provided for unix-ssh connection',
  'no-path': 'remote uri must contain a path to a socket file',
  'no-guest': 'invalid remote addr',
  'no-user': 'remote uri must contain a user',
};

function sshSideOf(remote: string): SshSide {
  const side = parseSshTunnel(remote);
  if (typeof side === 'string') throw new GoHttpError(500, TUNNEL_ERRORS[side]);
  return side;
}

interface Local {
  /** As it was written. */
  readonly host: string;
  readonly hostAddress: IpAddress | undefined;
  readonly hostPort: number;
}

function localOf(protocol: string, local: string): Local {
  const split = splitHostPort(local);
  if ('problem' in split) throw new GoHttpError(500, `listen ${protocol}: ${split.problem}`);
  const { host, port } = split;
  const hostPort = portOf(port, 0);
  if (hostPort === undefined) {
    throw new GoHttpError(500, `listen ${protocol}: address ${port}: invalid port`);
  }
  if (host === '') return { host, hostAddress: undefined, hostPort };
  const address = parseAddress(host === 'localhost' ? '127.0.0.1' : host);
  if (address === undefined) {
    throw new GoHttpError(500, `listen ${protocol}: lookup ${host}: no such host`);
  }
  return { host, hostAddress: asGoListens(address), hostPort };
}

function remoteOf(remote: string): {
  readonly guestAddress: IpAddress | undefined;
  readonly guestPort: number;
} {
  const split = splitHostPort(remote);
  if ('problem' in split) throw new GoHttpError(500, split.problem);
  const guestPort = portOf(split.port, 1);
  const guestAddress = split.host === '' ? undefined : parseAddress(split.host);
  if (guestPort === undefined || (split.host !== '' && guestAddress === undefined)) {
    throw new GoHttpError(500, 'invalid remote addr');
  }
  return { guestAddress, guestPort };
}

function portOf(text: string, min: number): number | undefined {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : -1;
  return port >= min && port <= 65_535 ? port : undefined;
}

function unexpose({ local, protocol }: ExposeRequest, ports: PortAccess): void {
  const id = find(protocol, local, ports)?.id;
  if (id === undefined || !ports.unpublish(id)) throw new GoHttpError(500, 'proxy not found');
}

function find(protocol: string, local: string, ports: PortAccess): PublishedPort | undefined {
  if (protocol === 'unix') {
    return ports.list().find((port) => port.protocol === 'unix' && port.hostPath === local);
  }
  if (protocol !== 'tcp' && protocol !== 'udp') return undefined;
  try {
    const { hostAddress, hostPort } = localOf(protocol, local);
    return ports.find(protocol, hostAddress, hostPort);
  } catch (error) {
    if (error instanceof GoHttpError) return undefined;
    throw error;
  }
}

interface Listed {
  readonly local: string;
  readonly remote: string;
  readonly protocol: string;
}

function listing(ports: PortAccess): readonly Listed[] {
  const listed = ports.list().map((port): Listed => {
    const { protocol } = port;
    const remote = formatEndpoint(port.guestAddress, port.guestPort, '');
    if (protocol !== 'unix') return { local: localText(port), remote, protocol };
    return { local: port.hostPath, remote: unixTarget(port, remote), protocol };
  });
  return listed.sort(
    (one, other) => compare(one.local, other.local) || compare(one.protocol, other.protocol),
  );
}

function unixTarget({ guestPath, ssh }: PublishedPort & UnixSpec, remote: string): string {
  if (guestPath === undefined) return `tcp://${remote}`;
  return ssh === undefined ? `unix://${guestPath}` : formatSshTunnel(remote, guestPath, ssh);
}

/** As it was requested through this API, with the port that was bound. */
function localText({ asked, hostAddress, hostPort }: PublishedPort & PortSpec): string {
  const host = asked?.host ?? '';
  if (host === '') return formatEndpoint(shownHost(hostAddress), hostPort, '');
  return host.includes(':') ? `[${host}]:${hostPort}` : `${host}:${hostPort}`;
}

const compare = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0);
