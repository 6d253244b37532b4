/** What gvproxy serves beside its guests' network: its APIs, forwards, names and notifications. */
import type { Duplex } from 'node:stream';
import { refusal, unixAdmission } from '../../../control/admission.ts';
import { createControlServer } from '../../../control/control-api.ts';
import { addZone } from '../../../control/gvproxy/dns.ts';
import { GoHttpError } from '../../../control/gvproxy/go-http.ts';
import { createGvproxyServer } from '../../../control/gvproxy/server.ts';
import type { GvproxyTarget } from '../../../control/gvproxy/services.ts';
import { gvisorStats } from '../../../control/gvproxy/stats.ts';
import { expose } from '../../../control/ports/gvproxy-forwarder.ts';
import { hostAccess } from '../../../control/ports/port-access.ts';
import type { DaemonNetwork } from '../../../network/daemon-network.ts';
import { messageOf, RunError } from '../../../network/errors.ts';
import type { Network } from '../../../network/network-interface.ts';
import type { ServingDaemon } from '../../daemon.ts';
import type { GvproxyConfig } from './configuration.ts';
import { ConnectionNumbers } from './connection-numbers.ts';
import { type Endpoint, parseEndpoint } from './endpoint.ts';
import { listenAt } from './listen.ts';
import { Notifications } from './notifications.ts';

type OpenNetwork = Network & DaemonNetwork;

/** @throws RunError, ListenError */
export async function serveGvproxy(
  config: GvproxyConfig,
  network: OpenNetwork,
  daemon: ServingDaemon,
): Promise<void> {
  const { stack } = config;
  const target = targetOf(config, network);
  for (const zone of stack.dns) {
    try {
      await addZone(network.recordZones, zone);
    } catch (error) {
      throw new RunError(`stack.dns: zone ${zone.name}: ${messageOf(error)}`, { cause: error });
    }
  }
  for (const [local, remote] of Object.entries(stack.forwards))
    await forward(target, local, remote);
  if (config.notification !== '') notify(config.notification, network, daemon);
  daemon.log.info({}, 'waiting for clients...');
  for (const url of config.listen) {
    daemon.log.info({}, `listening ${url}`);
    await serveApi(parseEndpoint(url), true, config, network, target, daemon);
  }
  if (config.services !== '') {
    daemon.log.info({}, `enabling services API. Listening ${config.services}`);
    await serveApi(parseEndpoint(config.services), false, config, network, target, daemon);
  }
}

function targetOf({ stack }: GvproxyConfig, network: OpenNetwork): GvproxyTarget {
  const { view, ports, recordZones: zones } = network;
  const numbers = new ConnectionNumbers();
  return {
    ports: hostAccess(ports),
    zones,
    dial: (guest, port, signal) => network.dial({ guest, port, signal }),
    leases: () => [
      [stack.gatewayIP, stack.gatewayMacAddress] as const,
      ...view
        .leases()
        .filter(({ address }) => !address.includes(':'))
        .map(({ address, mac }) => [address, mac] as const),
    ],
    cam: () => numbers.of(view.guests()),
    stats: () => gvisorStats(view),
  };
}

async function forward(target: GvproxyTarget, local: string, remote: string): Promise<void> {
  const [, udp, place = ''] = /^(udp:)?(.*)$/.exec(local) ?? [];
  try {
    const protocol = udp === undefined ? 'tcp' : 'udp';
    await expose({ protocol, local: place, remote }, target.ports);
  } catch (error) {
    if (!(error instanceof GoHttpError)) throw error;
    throw new RunError(`cannot forward ${local} to ${remote}: ${error.message}`);
  }
}

function notify(path: string, network: OpenNetwork, daemon: ServingDaemon): void {
  const notifications = new Notifications(path, daemon.log);
  let isReady = false;
  daemon.add({
    close: async () => {
      if (!isReady) notifications.send({ notification_type: 'hypervisor_error' });
      await notifications.close();
    },
  });
  network.on('guest', ({ kind, guest }) => {
    const notification_type = kind === 'attached' ? 'connection_established' : 'connection_closed';
    notifications.send({ notification_type, mac_address: guest.mac });
  });
  daemon.whenReady(() => {
    isReady = true;
    notifications.send({ notification_type: 'ready' });
  });
}

async function serveApi(
  endpoint: Endpoint,
  hasConnect: boolean,
  config: GvproxyConfig,
  network: OpenNetwork,
  target: GvproxyTarget,
  daemon: ServingDaemon,
): Promise<void> {
  const { log, version } = daemon;
  const { view, ports } = network;
  let where = '';
  const isUnix = endpoint.kind === 'unix';
  const own = createControlServer(
    {
      ...{ name: 'gvproxy', version, view, ports, log },
      onShutdown: () => daemon.stop('the API asked for it'),
    },
    () => where,
    (request) => refusal(request, unixAdmission),
  );
  const framing = config.interfaces.qemu === '' ? 'hyperkit' : 'qemu';
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
    attach: hasConnect ? attach : undefined,
    isOpenToBrowsers: endpoint.kind === 'tcp',
    own: isUnix ? own : undefined,
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
