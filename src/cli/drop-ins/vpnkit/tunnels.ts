/** `--forwards`: networks whose connections lead through Unix sockets of the host. */
import type { DaemonNetwork } from '../../../network/daemon-network.ts';
import type { ServingDaemon } from '../../daemon.ts';
import { parseTunnels } from './files.ts';
import { followFile } from './follow-file.ts';

export const serveTunnels = (
  path: string,
  network: DaemonNetwork,
  daemon: Pick<ServingDaemon, 'add' | 'log'>,
): Promise<void> =>
  followFile(path, 'forwards', daemon, async (text) => {
    const left = await network.tunnelFlows(text === '' ? [] : parseTunnels(path, text));
    if (left.length > 0) daemon.log.warn({ forwards: left.length }, 'forwards: too many');
  });
