/** Ports of the gateway that lead to the host's network: of the command line, and of a file that is followed live. */

import type { DaemonNetwork } from '../../../network/daemon-network.ts';
import { messageOf } from '../../../network/errors.ts';
import type { GatewayForward } from '../../../network/gateway-forwards.ts';
import { FileFollower } from '../../../proxy/dns/file-follower.ts';
import type { ServingDaemon } from '../../daemon.ts';
import { parseForwards } from './files.ts';

export interface ForwardsWanted {
  readonly forwards: readonly GatewayForward[];
  readonly forwardsFile: string | undefined;
}

export function serveForwards(
  { forwards, forwardsFile: path }: ForwardsWanted,
  network: DaemonNetwork,
  daemon: Pick<ServingDaemon, 'add' | 'log'>,
): void {
  const { log } = daemon;
  const forward = (ofFile: readonly GatewayForward[]): void => {
    const left = network.forwardGateway([...forwards, ...ofFile]);
    if (left.length > 0) log.warn({ forwards: left.length }, 'gateway forwards: too many');
  };
  if (path === undefined) {
    forward([]);
    return;
  }
  const follower = new FileFollower(path, (text) => {
    try {
      forward(text === '' ? [] : parseForwards(path, text));
    } catch (error) {
      log.warn({ why: messageOf(error) }, 'gateway forwards stay as they were');
    }
  });
  daemon.add(follower);
}
