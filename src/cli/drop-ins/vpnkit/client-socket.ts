/** Unix sockets whose clients are sent something, and asked nothing: `--diagnostics`, `--introspection`, `--pcap`. */
import { createServer, type Socket } from 'node:net';
import { bindUnix } from '../../../control/api-listener.ts';
import type { ServingDaemon } from '../../daemon.ts';

const CLIENTS_MAX = 16;

/**
 * @param what is served, for errors
 * @param send to a client; what it says is not read, what is wrong with it ends it
 * @throws ListenError
 */
export async function serveClients(
  path: string,
  what: string,
  daemon: Pick<ServingDaemon, 'add' | 'own' | 'makeDirectoriesFor'>,
  send: (client: Socket) => void,
): Promise<void> {
  const server = createServer((client) => {
    client.on('error', () => client.destroy());
    client.resume(); // else its end is not seen
    send(client);
  });
  server.maxConnections = CLIENTS_MAX;
  daemon.makeDirectoriesFor(path);
  await bindUnix(server, path, what);
  daemon.add({ close: () => void server.close() });
  daemon.own(path);
}
