/** Ports of the gateway that lead to the host's network: of the command line, and of a file that is followed live. */

import type { DaemonNetwork } from '../../../network/daemon-network.ts';
import type { GatewayForward } from '../../../network/gateway-forwards.ts';
import type { ServingDaemon } from '../../daemon.ts';
import { parseForwards } from './files.ts';
import { followFile } from './follow-file.ts';

export interface ForwardsWanted {
  readonly forwards: readonly GatewayForward[];
  readonly forwardsFile: string | undefined;
}

export async function serveForwards(
  { forwards, forwardsFile: path }: ForwardsWanted,
  network: DaemonNetwork,
  daemon: Pick<ServingDaemon, 'add' | 'log'>,
): Promise<void> {
  const forward = (ofFile: readonly GatewayForward[]): void => {
    const left = network.forwardGateway([...forwards, ...ofFile]);
    if (left.length > 0) daemon.log.warn({ forwards: left.length }, 'gateway forwards: too many');
  };
  if (path === undefined) {
    forward([]);
    return;
  }
  await followFile(path, 'gateway forwards', daemon, (text) =>
    forward(text === '' ? [] : parseForwards(path, text)),
  );
}
