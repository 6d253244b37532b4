/** `--diagnostics` and `--introspection`: each client is sent everything that there is to see, as JSON, and the end. */
import type { NetworkView } from '../../../control/network-view.ts';
import type { ServingDaemon } from '../../daemon.ts';
import { named } from '../named.ts';
import { serveClients } from './client-socket.ts';

export async function serveDiagnostics(
  paths: readonly string[],
  view: NetworkView,
  daemon: ServingDaemon,
): Promise<void> {
  for (const path of paths) {
    const serving = serveClients(path, 'diagnostics', daemon, (client) => {
      client.end(`${JSON.stringify(stateOf(view))}\n`);
    });
    await named(`--diagnostics ${path}`, serving);
  }
}

const stateOf = (view: NetworkView): object => ({
  health: view.health(),
  info: view.info(),
  guests: view.guests(),
  flows: view.flows(),
  leases: view.leases(),
  ports: view.ports(),
  mux: view.mux(),
  budgets: view.budgets(),
  conflicts: view.conflicts(),
  traffic: view.traffic(),
  counters: view.counters(),
});
