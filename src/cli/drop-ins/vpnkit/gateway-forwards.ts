/** Ports of the gateway that lead to the host's network. */
import { connect } from 'node:net';
import { pipeline } from 'node:stream';
import type { GuestConnection } from '../../../network/guest-streams.ts';
import type { Network } from '../../../network/network-interface.ts';
import type { ServingDaemon } from '../../daemon.ts';
import type { GatewayForward } from './arguments.ts';

/** @throws VirtualListenError where the gateway serves the port itself */
export function serveForwards(
  forwards: readonly GatewayForward[],
  network: Network,
  daemon: ServingDaemon,
): void {
  for (const forward of forwards) {
    const server = network.listen({ port: forward.port });
    daemon.add(server);
    void (async () => {
      for await (const connection of server) join(connection, forward, daemon);
    })();
  }
}

function join(
  guest: GuestConnection,
  { address, addressPort, port }: GatewayForward,
  { log }: ServingDaemon,
): void {
  const host = connect({ host: address, port: addressPort, allowHalfOpen: true, noDelay: true });
  const onEnd = (error: Error | null | undefined): void => {
    if (error) log.debug({ port, address, addressPort, err: error }, 'a gateway forward failed');
  };
  pipeline(guest, host, guest, onEnd);
}
