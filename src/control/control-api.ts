/** The control API of one daemon: its server, metrics and listener put together. */

import { statSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import type { Log } from '../base/log.ts';
import { once } from '../base/once.ts';
import { readSmallFile } from '../native/read-small-file.ts';
import type { PortBook } from '../proxy/ports/port-table.ts';
import { refusal, tokenAdmission, unixAdmission } from './admission.ts';
import { type ApiListener, ListenError, listenTcp, listenUnix } from './api-listener.ts';
import { type ApiServer, type ApiService, createApiServer } from './api-server.ts';
import type { ServedView } from './events/served-view.ts';
import { type AttachConnection, serveGuestConnections } from './guest-connections.ts';
import type { SandboxView } from './network-view.ts';
import type { BindRule } from './ports/bind-rules.ts';
import { hostAccess, limitedHostAccess } from './ports/port-access.ts';
import type { ProblemError } from './problem.ts';
import { type ApiTarget, METRICS_TYPE, ROUTES } from './routes.ts';
import { UnprovenConnections } from './unproven-connections.ts';
import { WaitingRoom } from './waiting-room.ts';

export type ApiAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | {
      readonly kind: 'tcp';
      readonly address: string;
      readonly port: number;
      readonly tokenFile: string;
    };

export interface ControlApiOptions extends ControlServerOptions {
  readonly address: ApiAddress;
  /** Where clients may attach guests. */
  readonly attach?: AttachConnection | undefined;
}

export interface ControlServerOptions {
  readonly name: string;
  readonly version: string;
  readonly view: ServedView;
  readonly ports: PortBook;
  readonly log: Log;
  /** Where clients may publish ports. Default: anywhere. */
  readonly bind?: readonly BindRule[] | undefined;
  /** Default: none. */
  sandbox?(): SandboxView;
  /** A client requested the shutdown; called once its answer was sent. */
  onShutdown(): void;
}

const NO_SANDBOX: SandboxView = { mode: 'off', parts: [] };

const TOKEN_MIN_CHARS = 16;

/**
 * @param where it listens
 * @param refusalOf why a request is refused
 */
export function createControlServer(
  options: ControlServerOptions,
  where: () => string,
  refusalOf: ApiService<ApiTarget>['refusal'],
): ApiServer {
  const { name, version, view, log } = options;
  const target: ApiTarget = {
    view,
    ports:
      options.bind === undefined
        ? hostAccess(options.ports)
        : limitedHostAccess(options.ports, options.bind),
    daemon: () => ({
      name,
      version,
      nodeVersion: process.version,
      pid: process.pid,
      uptimeMs: Math.round(process.uptime() * 1_000),
      api: where(),
      sandbox: options.sandbox?.() ?? NO_SANDBOX,
    }),
    metrics: lazyMetrics(view, name, version),
    shutdown: () => options.onShutdown(),
  };
  const service = { routes: ROUTES, version, refusal: refusalOf, target: () => target };
  return createApiServer(service, log);
}

/** @throws ListenError; nothing is left behind */
export async function serveControlApi(options: ControlApiOptions): Promise<ApiListener> {
  const { address, log } = options;
  let where = '';
  const admission =
    address.kind === 'unix' ? unixAdmission : tokenAdmission(readToken(address.tokenFile, log));
  const admit = (
    request: Parameters<typeof refusal>[0],
    connection: Duplex,
  ): ProblemError | undefined => {
    const refused = refusal(request, admission);
    if (refused === undefined) unproven?.prove(connection);
    return refused;
  };
  const { server, held } = createControlServer(
    options,
    () => where,
    (request) => admit(request, request.socket),
  );
  const { attach } = options;
  const guests =
    attach === undefined
      ? undefined
      : serveGuestConnections(server, attach, (connection, head) => admit(head, connection));
  const room = new WaitingRoom(server, {
    has: (socket) =>
      held.has(socket) || (unproven?.has(socket) ?? false) || (guests?.has(socket) ?? false),
  });
  const unproven = address.kind === 'tcp' ? new UnprovenConnections(server) : undefined;
  const listener =
    address.kind === 'unix'
      ? await listenUnix(server, address.path)
      : await listenTcp(server, address.address, address.port);
  where = listener.where;
  const close = (): Promise<void> => {
    room.close();
    guests?.close();
    return listener.close();
  };
  return { ...listener, close };
}

/** prom-client is loaded by the first scrape. */
function lazyMetrics(view: ServedView, name: string, version: string): ApiTarget['metrics'] {
  const metrics = once(async () => {
    const { Metrics } = await import('./metrics.ts');
    return new Metrics(view, name, version);
  });
  return async () => ({
    status: 200,
    body: await (await metrics()).text(),
    mediaType: METRICS_TYPE,
  });
}

/** The bearer token in `file`: its text without surrounding space. */
function readToken(file: string, log: Log): string {
  let token: string;
  try {
    token = readSmallFile(file).trim();
    if ((statSync(file).mode & 0o077) !== 0) {
      log.warn({ file }, 'other users can read the API token: chmod it to 0600');
    }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ListenError(`cannot read the API token: ${why}; write one to ${file}`, {
      cause: error,
    });
  }
  if (token.length < TOKEN_MIN_CHARS || /[^\x21-\x7e]/.test(token)) {
    throw new ListenError(
      `the API token in ${file} is not usable: it needs at least ${TOKEN_MIN_CHARS} printable characters without space; try "openssl rand -hex 32"`,
    );
  }
  return token;
}
