/** The table of published ports, and whom it asks. */
import type { IpAddress } from '../base/ip-address.ts';
import type { Clock } from '../base/time.ts';
import { portView } from '../control/ports/port-view.ts';
import { LISTENING_SOCKETS } from '../native/listening-sockets.ts';
import type { OwnListeners } from '../proxy/own-listeners.ts';
import { PortTable } from '../proxy/ports/port-table.ts';
import type { SshForwards } from '../proxy/ssh/ssh-forwards.ts';
import type { Stack } from '../stack/stack.ts';
import { removeStaleSocket } from '../transports/stale-socket.ts';
import type { NetworkConfig } from './config.ts';
import type { DataPath } from './data-path.ts';
import type { EventHub } from './event-hub.ts';
import type { GuestDirectory } from './guest-directory.ts';
import type { ProgramGate } from './hooks/program-gate.ts';
import type { MuxLinks } from './mux-links.ts';

export interface PortsDeps {
  readonly config: NetworkConfig;
  readonly dataPath: DataPath;
  readonly mux: MuxLinks;
  readonly ssh: SshForwards;
  readonly guests: GuestDirectory;
  readonly ownListeners: OwnListeners;
  readonly gate: ProgramGate | undefined;
  readonly clock: Clock;
  readonly hub: EventHub;
}

export function makePorts(deps: PortsDeps): PortTable {
  const { config, dataPath, mux, ssh, guests, ownListeners, gate, clock, hub } = deps;
  return new PortTable(
    {
      serve: (client) => dataPath.tcp.serve(client),
      addresses: dataPath.addressMap,
      udp: dataPath.published,
      guests,
      sockets: dataPath.sockets,
      ownerOf: (guest) => dataPath.stack.ownerOf(guest),
      guestBehind: (link) => mux.guestBehind(link),
      isSameGuest: (one, other) => isSameStation(dataPath.stack, one, other),
      freePath: removeStaleSocket,
      isReserved: (port) => ownListeners.hasPort(port),
      keeping: config.guestApi.enabled
        ? { now: () => clock.now(), listening: () => LISTENING_SOCKETS.read() }
        : undefined,
      gate,
      agent: config.mux.links.length > 0 ? mux.carrier : undefined,
      ssh,
      onChange: (kind, port) => hub.emit('port', { kind, port: portView(port) }),
    },
    { sourceAddress: config.sourceAddress, keepaliveS: config.keepaliveS },
  );
}

function isSameStation(stack: Stack, one: IpAddress, other: IpAddress): boolean {
  const mac = stack.stations.neighborAt(one)?.mac ?? 0;
  return mac !== 0 && mac === stack.stations.neighborAt(other)?.mac;
}
