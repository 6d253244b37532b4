/** gvproxy's API on one listener, for gvproxy and for what else is made of its library. */
import type { Duplex } from 'node:stream';
import { refusal, unixAdmission } from '../../../control/admission.ts';
import { createControlServer } from '../../../control/control-api.ts';
import { createGvproxyServer, type LongAnswer } from '../../../control/gvproxy/server.ts';
import type { GvproxyTarget } from '../../../control/gvproxy/services.ts';
import { gvisorStats } from '../../../control/gvproxy/stats.ts';
import { hostAccess } from '../../../control/ports/port-access.ts';
import type { DaemonNetwork } from '../../../network/daemon-network.ts';
import { messageOf } from '../../../network/errors.ts';
import type { Network } from '../../../network/network-interface.ts';
import type { ServingDaemon } from '../../daemon.ts';
import { ConnectionNumbers } from './connection-numbers.ts';
import type { Endpoint } from './endpoint.ts';
import { listenAt } from './listen.ts';

export type OpenNetwork = Network & DaemonNetwork;

export interface GatewayStation {
  readonly address: string;
  readonly mac: string;
}

export function targetOf(gateway: GatewayStation, network: OpenNetwork): GvproxyTarget {
  const { view, ports, recordZones: zones } = network;
  const numbers = new ConnectionNumbers();
  return {
    ports: hostAccess(ports),
    zones,
    dial: (guest, port, signal) => network.dial({ guest, port, signal }),
    leases: () => [
      [gateway.address, gateway.mac] as const,
      ...view
        .leases()
        .filter(({ address }) => !address.includes(':'))
        .map(({ address, mac }) => [address, mac] as const),
    ],
    cam: () => numbers.of(view.guests()),
    stats: () => gvisorStats(view),
  };
}

export interface ServedApi {
  readonly endpoint: Endpoint;
  readonly target: GvproxyTarget;
  /** Of the instance, in hawser's own API on Unix sockets. */
  readonly name: string;
  /** Of `/connect`; undefined: it is not served. */
  readonly framing: 'hyperkit' | 'qemu' | undefined;
  readonly long?: LongAnswer | undefined;
}

/** @throws ListenError, NativeUnavailableError, PosixError */
export async function serveApi(
  { endpoint, target, name, framing, long }: ServedApi,
  network: OpenNetwork,
  daemon: ServingDaemon,
): Promise<void> {
  const { log, version, sandbox } = daemon;
  const { view, ports } = network;
  let where = '';
  const isUnix = endpoint.kind === 'unix';
  const own = createControlServer(
    {
      ...{ name, version, view, ports, log },
      ...(sandbox === undefined ? {} : { sandbox }),
      onShutdown: () => daemon.stop('the API asked for it'),
    },
    () => where,
    (request) => refusal(request, unixAdmission),
  );
  const attach = (connection: Duplex): void => {
    try {
      network.attach(connection, { framing });
    } catch (error) {
      log.warn({ reason: messageOf(error) }, 'a connection cannot be a link');
      connection.destroy();
    }
  };
  const served = createGvproxyServer({
    target,
    attach: framing === undefined ? undefined : attach,
    isOpenToBrowsers: endpoint.kind === 'tcp',
    own: isUnix ? own : undefined,
    long,
    log,
  });
  daemon.add(served);
  if (isUnix) daemon.makeDirectoriesFor(endpoint.path);
  const listener = await listenAt(endpoint, served.server);
  daemon.add(listener);
  where = listener.where;
  if (isUnix) daemon.own(endpoint.path);
  if (listener.tcp !== undefined) network.denyGuests(listener.tcp.address, listener.tcp.port);
}
