/** What gvproxy serves beside its guests' network: its APIs, forwards, names and notifications. */
import { addZone } from '../../../control/gvproxy/dns.ts';
import { GoHttpError } from '../../../control/gvproxy/go-http.ts';
import type { GvproxyTarget } from '../../../control/gvproxy/services.ts';
import { expose } from '../../../control/ports/gvproxy-forwarder.ts';
import { messageOf, RunError } from '../../../network/errors.ts';
import type { ServingDaemon } from '../../daemon.ts';
import { named } from '../named.ts';
import type { GvproxyConfig } from './configuration.ts';
import { parseEndpoint } from './endpoint.ts';
import { Notifications } from './notifications.ts';
import { type OpenNetwork, serveApi, targetOf } from './serve-api.ts';
import { versionText } from './version-text.ts';

/** @throws RunError, ListenError */
export async function serveGvproxy(
  config: GvproxyConfig,
  network: OpenNetwork,
  daemon: ServingDaemon,
): Promise<void> {
  const { stack } = config;
  const gateway = { address: stack.gatewayIP, mac: stack.gatewayMacAddress };
  const target = targetOf(gateway, network);
  const framing = config.interfaces.qemu === '' ? 'hyperkit' : 'qemu';
  const serve = async (url: string, withConnect: boolean): Promise<void> => {
    const api = { endpoint: parseEndpoint(url), target, name: `gvproxy-${process.pid}` };
    const option = `${withConnect ? '-listen' : '-services'} ${url}`;
    const served = serveApi(
      { ...api, framing: withConnect ? framing : undefined },
      network,
      daemon,
    );
    await named(option, served);
  };
  daemon.log.info({}, versionText(daemon.version));
  for (const why of config.withoutEffect) daemon.log.warn({}, `without effect: ${why}`);
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
    await serve(url, true);
  }
  if (config.services !== '') {
    daemon.log.info({}, `enabling services API. Listening ${config.services}`);
    await serve(config.services, false);
  }
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
  const connected = new Set<string>();
  let isReady = false;
  let isClosed = false;
  const closed = (mac_address: string): void =>
    notifications.send({ notification_type: 'connection_closed', mac_address });
  daemon.add({
    // Before the network, which would tell of its guests when nothing is sent any more.
    close: async () => {
      isClosed = true;
      for (const mac of connected) closed(mac);
      if (!isReady) notifications.send({ notification_type: 'hypervisor_error' });
      await notifications.close();
    },
  });
  network.on('guest', ({ kind, guest: { mac } }) => {
    if (isClosed) return;
    if (kind === 'attached') {
      connected.add(mac);
      notifications.send({ notification_type: 'connection_established', mac_address: mac });
    } else if (connected.delete(mac)) closed(mac);
  });
  daemon.whenReady(() => {
    isReady = true;
    notifications.send({ notification_type: 'ready' });
  });
}
