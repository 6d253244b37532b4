/** `--pcap`: each client is sent what passed last, and what passes, until it goes. */
import type { DaemonNetwork } from '../../../network/daemon-network.ts';
import { PcapStreams } from '../../../transports/capture/pcap-streams.ts';
import type { ServingDaemon } from '../../daemon.ts';
import { named } from '../named.ts';
import { serveClients } from './client-socket.ts';

/** @param snapLen of no frame are more bytes sent */
export async function serveCaptures(
  paths: readonly string[],
  snapLen: number,
  network: Pick<DaemonNetwork, 'observeFrames'>,
  daemon: ServingDaemon,
): Promise<void> {
  const streams = new PcapStreams(snapLen);
  network.observeFrames(streams);
  for (const path of paths) {
    const serving = serveClients(path, 'the capture', daemon, (client) => streams.add(client));
    await named(`--pcap ${path}`, serving);
  }
  daemon.add({
    close: () => {
      streams.close();
      const { lost } = streams;
      if (lost > 0) daemon.log.warn({ lost }, 'frames that clients of --pcap did not take in time');
    },
  });
}
