/** `hawser run`. */

import type { DaemonNetwork } from '../../network/network-interface.ts';
import { packageVersion } from '../../network/version.ts';
import { type CommandLine, loadConfig } from '../config.ts';
import { GRACE_MS, runDaemon } from '../daemon.ts';
import { FileSink } from '../file-sink.ts';
import { createLog } from '../log.ts';
import { checkRuntimeDir, realPlace } from '../runtime-dir.ts';
import { StderrSink } from '../stderr-sink.ts';

export interface RunRequest {
  /** Options that were typed. */
  readonly commandLine: CommandLine;
  readonly config: string | undefined;
  readonly printConfig: boolean;
  /** Called once the daemon listens for signals. */
  onListening(): void;
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
  const file = options.log.file === undefined ? undefined : new FileSink(options.log.file);
  const [log, { openNetwork }] = await Promise.all([
    createLog(options.log, file ?? new StderrSink()),
    import('../../network/network.ts'),
  ]);
  const reload = async (network: DaemonNetwork | undefined): Promise<void> => {
    file?.reopen();
    const { dns } = await loadConfig(request.commandLine, request.config, place);
    network?.reloadNames(dns.zones);
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
  });
  request.onListening();
  return await ended;
}
