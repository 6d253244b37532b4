/**
 * VPNKit's `/forwards/*` on our table, as `go/pkg/vpnkit/http` answers it: `null` for an empty list, POST
 * as well as PUT and DELETE, the annotation as a part of a forward's identity, unexpose that never fails,
 * and error bodies of the echo framework.
 *
 * A forward is identified by its request: the addresses as they were written, with
 * the port resolved. `0.0.0.0` and `::` are every address of both families, as Go listens on them; where
 * `out_ip` is left out, the port is published on the loopback, although VPNKit would use every address.
 * Where `in_ip` is left out, the agent dials its own loopback.
 *
 * An address outside the guests' network is a container's: it needs the agent. Without one the request
 * fails, instead of publishing a port that cannot be reached.
 */
import * as z from 'zod';
import type { IpAddress } from '../../base/ip-address.ts';
import { once } from '../../base/once.ts';
import type { PublishedPort } from '../../proxy/ports/port-table.ts';
import {
  formatEndpoint,
  type HostAddress,
  PublishError,
  type PublishSpec,
} from '../../proxy/ports/publish-spec.ts';
import { pathProblem } from '../../proxy/ports/publish-text.ts';
import { parseAddress } from '../../services/address-text.ts';
import type { Answer, CompatRequest } from '../route.ts';
import { ANY4, asGoListens } from './go-addresses.ts';
import { goListenError, parseGoJson } from './go-errors.ts';
import { type PortAccess, shownHost } from './port-access.ts';

export const VPNKIT_PREFIX = '/forwards/';
const JSON_TYPE = 'application/json; charset=UTF-8';
const TEXT_TYPE = 'text/plain; charset=UTF-8';

const forwardSchema = once(() => {
  // Go's decoder treats null as a key that is left out.
  const ipText = z
    .string()
    .refine((text) => text === '' || parseAddress(text) !== undefined)
    .nullish();
  const portNumber = z.int().min(0).max(65_535).nullish();
  return z.object({
    proto: z.string().nullish(),
    out_ip: ipText,
    out_port: portNumber,
    out_path: z.string().nullish(),
    in_ip: ipText,
    in_port: portNumber,
    in_path: z.string().nullish(),
    annotation: z.string().max(1024).nullish(),
  });
});
type ForwardBody = z.infer<ReturnType<typeof forwardSchema>>;

/** VPNKit's `Port`, with empty fields left out. */
interface Forward {
  readonly proto?: string | undefined;
  readonly out_ip?: string | undefined;
  readonly out_port?: number | undefined;
  readonly out_path?: string | undefined;
  readonly in_ip?: string | undefined;
  readonly in_port?: number | undefined;
  readonly in_path?: string | undefined;
  readonly annotation?: string | undefined;
}

/** A body as echo writes it: `{"message": ...}`, or whatever the handler gave it. */
class EchoError extends Error {
  readonly status: number;
  readonly bare: boolean;

  constructor(status: number, message: string, bare = false) {
    super(message);
    this.status = status;
    this.bare = bare;
  }
}

interface Operation {
  readonly methods: readonly string[];
  handle(request: CompatRequest, ports: PortAccess): Answer | Promise<Answer>;
}

const EMPTY: Answer = { status: 200, body: '', mediaType: TEXT_TYPE };
const echoJson = (value: unknown, status = 200): Answer => ({
  status,
  body: `${JSON.stringify(value)}\n`,
  mediaType: JSON_TYPE,
});

const EXPOSE = ['PUT', 'POST'];
const UNEXPOSE = ['DELETE', 'POST'];
const OPERATIONS: Readonly<Record<string, Operation>> = {
  'expose/port': { methods: EXPOSE, handle: (r, ports) => expose(portForward(r), ports) },
  'expose/pipe': { methods: EXPOSE, handle: (r, ports) => expose(pipeForward(r), ports) },
  'unexpose/port': { methods: UNEXPOSE, handle: (r, ports) => unexpose(portForward(r), ports) },
  'unexpose/pipe': { methods: UNEXPOSE, handle: (r, ports) => unexpose(pipeForward(r), ports) },
  list: { methods: ['GET'], handle: (_r, ports) => echoJson(listing(ports)) },
  dump: { methods: ['GET'], handle: (_r, ports) => dump(ports) },
};

export async function vpnkitForwards(request: CompatRequest, ports: PortAccess): Promise<Answer> {
  const name = request.path.slice(VPNKIT_PREFIX.length);
  const operation = Object.hasOwn(OPERATIONS, name) ? OPERATIONS[name] : undefined;
  try {
    if (operation === undefined) throw new EchoError(404, 'Not Found');
    if (!operation.methods.includes(request.method)) {
      throw new EchoError(405, 'Method Not Allowed');
    }
    return await operation.handle(request, ports);
  } catch (error) {
    if (!(error instanceof EchoError)) throw error;
    return echoJson(error.bare ? error.message : { message: error.message }, error.status);
  }
}

function portForward(request: CompatRequest): Forward {
  const forward = forwardOf(request);
  if (forward.proto === 'tcp' || forward.proto === 'udp') return forward;
  throw new EchoError(400, 'can only expose tcp or udp ports', true);
}

function pipeForward(request: CompatRequest): Forward {
  const forward = forwardOf(request);
  if (forward.proto === 'unix') return forward;
  throw new EchoError(400, 'can only expose unix pipes', true);
}

function forwardOf({ body, contentType }: CompatRequest): Forward {
  if (body.length === 0) return {};
  if (!(contentType ?? '').toLowerCase().startsWith('application/json')) {
    throw new EchoError(415, 'Unsupported Media Type');
  }
  const parsed = parseGoJson(body);
  if ('message' in parsed) {
    throw new EchoError(400, `Syntax error: offset=${parsed.offset}, error=${parsed.message}`);
  }
  const checked = forwardSchema().safeParse(parsed.value);
  if (checked.success) return withoutNulls(checked.data);
  const field = checked.error.issues[0]?.path.join('.') ?? '';
  throw new EchoError(400, `Unmarshal type error: field=${field}`);
}

const withoutNulls = (body: ForwardBody): Forward => ({
  proto: body.proto ?? undefined,
  out_ip: body.out_ip ?? undefined,
  out_port: body.out_port ?? undefined,
  out_path: body.out_path ?? undefined,
  in_ip: body.in_ip ?? undefined,
  in_port: body.in_port ?? undefined,
  in_path: body.in_path ?? undefined,
  annotation: body.annotation ?? undefined,
});

async function expose(forward: Forward, ports: PortAccess): Promise<Answer> {
  if (matching(forward, ports) !== undefined) return EMPTY;
  const spec = specOf(forward, ports.hasAgent);
  if (spec.protocol === 'unix') withdrawAt(spec.hostPath, ports);
  try {
    await ports.publish(spec, false);
    return EMPTY;
  } catch (error) {
    if (error instanceof PublishError) throw new EchoError(400, goListenError(spec, error));
    throw error;
  }
}

function unexpose(forward: Forward, ports: PortAccess): Answer {
  const port = matching(forward, ports);
  if (port !== undefined) ports.unpublish(port.id);
  return EMPTY;
}

/** A socket of another forward is replaced, as VPNKit does; one of the configuration's or the program's is not. */
function withdrawAt(path: string, ports: PortAccess): void {
  const holder = ports.list().find((port) => port.protocol === 'unix' && port.hostPath === path);
  if (holder === undefined || holder.owner === 'config' || holder.owner === 'library') return;
  ports.unpublish(holder.id);
}

function specOf(forward: Forward, hasAgent: boolean): PublishSpec {
  const { proto, in_ip: inIp = '', in_port: inPort = 0, in_path: inPath = '' } = forward;
  const { out_path: outPath = '', out_ip: outIp = '', annotation } = forward;
  const guestAddress = parseAddress(inIp);
  const asked = { host: outIp, guest: inIp };
  const shared = { guestAddress, annotation, asked };
  if (proto === 'unix') {
    const why = pathProblem(outPath);
    if (why !== undefined) throw new EchoError(400, `out_path ${JSON.stringify(outPath)} ${why}`);
    if (inPath === '' && inPort === 0) throw new EchoError(400, 'in_path is missing');
    const target = inPath === '' ? { guestPort: inPort } : { guestPort: 0, guestPath: inPath };
    return { protocol: proto, hostPath: outPath, ...target, ...shared };
  }
  if (inPort === 0) throw new EchoError(400, 'in_port must be from 1 to 65535');
  return {
    protocol: proto === 'udp' ? 'udp' : 'tcp',
    hostAddress: hostAddressOf(outIp),
    hostPort: forward.out_port ?? 0,
    guestPort: inPort,
    via: guestAddress === undefined && hasAgent ? 'mux' : undefined,
    ...shared,
  };
}

const hostAddressOf = (outIp: string): HostAddress =>
  outIp === '' ? 'localhost' : asGoListens(parseAddress(outIp));

const matching = (forward: Forward, ports: PortAccess): PublishedPort | undefined => {
  const wanted = keyOf(forward);
  return ports.list().find((port) => keyOf(forwardView(port)) === wanted);
};

/** `[annotation ]proto forward from ip:port to ip:port`: VPNKit's identity of a forward. */
function keyOf(forward: Forward): string {
  const { proto = '', annotation = '' } = forward;
  const [from, to] =
    proto === 'unix'
      ? [forward.out_path ?? '', forward.in_path ?? '']
      : [end(forward.out_ip, forward.out_port), end(forward.in_ip, forward.in_port)];
  const prefix = annotation === '' ? '' : `${annotation} `;
  return `${prefix}${proto} forward from ${from} to ${to}`;
}

const end = (ip: string | undefined, port: number | undefined): string =>
  formatEndpoint(parseAddress(ip ?? ''), port ?? 0, '');

function forwardView(port: PublishedPort): Forward {
  const { annotation, asked, guestAddress, guestPort, guestPath } = port;
  const host =
    port.protocol === 'unix'
      ? { out_path: port.hostPath }
      : {
          out_ip: textOr(asked?.host, shownHost(port.hostAddress) ?? ANY4),
          out_port: port.hostPort,
        };
  const target =
    guestPath === undefined
      ? { in_ip: textOr(asked?.guest, guestAddress), in_port: guestPort }
      : { in_path: guestPath };
  return { proto: port.protocol, ...host, ...target, annotation };
}

/** Without empty strings, which Go leaves out. */
const textOr = (asked: string | undefined, actual: IpAddress | undefined): string | undefined =>
  (asked ?? actual?.toString()) || undefined;

function listing(ports: PortAccess): readonly Forward[] | null {
  const list = ports.list();
  return list.length === 0 ? null : list.map(forwardView); // Go's encoding of a nil slice
}

function dump(ports: PortAccess): Answer {
  const lines = ports.list().map((port) => `${keyOf(forwardView(port))}: ${port.active} active\n`);
  return { status: 200, body: lines.join(''), mediaType: TEXT_TYPE };
}
