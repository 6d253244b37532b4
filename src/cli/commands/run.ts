/** `hawser run`. */
import { isatty } from 'node:tty';

import { inheritListeners } from '../../native/inherited-listeners.ts';
import type { DaemonNetwork } from '../../network/daemon-network.ts';
import { UsageError } from '../../network/errors.ts';
import { packageVersion } from '../../network/version.ts';
import { type CommandLine, loadConfig } from '../config.ts';
import { GRACE_MS, runDaemon } from '../daemon.ts';
import type { DaemonConfig } from '../daemon-config.ts';
import { FileSink } from '../file-sink.ts';
import { createLog } from '../log.ts';
import { checkRuntimeDir, realPlace } from '../runtime-dir.ts';
import { linkPaths } from '../socket-paths.ts';
import { StderrSink } from '../stderr-sink.ts';

export interface RunRequest {
  /** Options that were typed. */
  readonly commandLine: CommandLine;
  readonly config: string | undefined;
  readonly printConfig: boolean;
  /** Called once the daemon listens for signals. */
  onListening(): void;
}

async function sayNext({ view }: DaemonNetwork, { name, log }: DaemonConfig): Promise<void> {
  if (log.format === 'json' || log.level === 'error' || log.level === 'silent') return;
  const { nextSteps } = await import('../next-steps.ts');
  const links = view.info().links.map(({ link }) => link);
  process.stderr.write(nextSteps({ name, links, ports: view.ports() }));
}

/** What systemd listens on for us must be for one of our sockets. */
function checkInherited(options: DaemonConfig): void {
  const { api } = options;
  const paths = [...linkPaths(options), ...(api.kind === 'unix' ? [api.path] : [])];
  for (const path of inheritListeners(process.env, process.pid)) {
    if (paths.includes(path)) continue;
    throw new UsageError([`LISTEN_FDS passes ${path}: name it by --listen, --mux or --api`]);
  }
}

/** @returns the exit status */
export async function runCommand(request: RunRequest): Promise<number> {
  const place = realPlace();
  const options = await loadConfig(request.commandLine, request.config, place);
  if (request.printConfig) {
    const { printConfig } = await import('../print-config.ts');
    process.stdout.write(printConfig(options));
    return 0;
  }
  checkInherited(options);
  const file = options.log.file === undefined ? undefined : new FileSink(options.log.file);
  const [log, { openNetwork }] = await Promise.all([
    createLog(options.log, file ?? new StderrSink()),
    import('../../network/network.ts'),
  ]);
  const reload = async (network: DaemonNetwork | undefined): Promise<readonly string[]> => {
    file?.reopen();
    const { dns } = await loadConfig(request.commandLine, request.config, place);
    return network?.reloadNames(dns.zones) ?? [];
  };
  const ended = runDaemon(options, {
    openNetwork,
    log,
    version: packageVersion(),
    events: process,
    graceMs: GRACE_MS,
    exit: (status) => process.exit(status),
    checkDirectories: () => checkRuntimeDir(place),
    reload,
    onReady: (network) => {
      if (file === undefined && isatty(2)) void sayNext(network, options);
    },
  });
  request.onListening();
  return await ended;
}
