/** The daemon of `hawser run`, once it is clear what it may do: in the first start of the program, or in the second. */
import { isatty } from 'node:tty';
import { inheritListeners } from '../../native/inherited-listeners.ts';
import { MadeDirectories } from '../../native/made-directories.ts';
import { addOpenedTaps } from '../../native/opened-taps.ts';
import type { DaemonNetwork } from '../../network/daemon-network.ts';
import { UsageError } from '../../network/errors.ts';
import { packageVersion } from '../../network/version.ts';
import { type DaemonDeps, type DaemonSandbox, GRACE_MS, runDaemon } from '../daemon.ts';
import type { DaemonConfig } from '../daemon-config.ts';
import { FileSink } from '../file-sink.ts';
import { HeapReturn } from '../heap-return.ts';
import { createLog } from '../log.ts';
import { checkRuntimeDir, type Place, placeOfUser, realPlace } from '../runtime-dir.ts';
import type { FirstStart } from '../sandbox/first-start.ts';
import { takeHandOver } from '../sandbox/hand-over.ts';
import { Sandbox } from '../sandbox/sandbox.ts';
import { listeningPlaces } from '../socket-paths.ts';
import { StderrSink } from '../stderr-sink.ts';

/** What is to be run, and how the process came to be allowed no more. */
export interface Started {
  readonly start: FirstStart;
  readonly place: Place;
  readonly sandbox: DaemonSandbox;
  /** What a drop-in serves, in the place of hawser's own. */
  readonly dialect?: Dialect | undefined;
  onListening(): void;
}

export interface Dialect extends Pick<DaemonDeps, 'serveMore' | 'pidFileEnd'> {
  /** Where it listens, which systemd may do instead: paths, and addresses of TCP. */
  readonly sockets: readonly string[];
}

/**
 * A second start of the program: with the options of the first, and what it has opened.
 *
 * @param dialectOf a drop-in's, of what its first start has handed over
 */
export async function continueRun(
  onListening: () => void,
  dialectOf?: (handedOver: unknown) => Dialect,
): Promise<number> {
  const start = takeHandOver(process.env);
  addOpenedTaps(start.taps);
  const sandbox = new Sandbox({
    mode: start.options.sandbox,
    isEntered: true,
    parts: start.parts,
    made: start.made,
  });
  process.on('exit', () => new MadeDirectories(start.made).remove()); // where it ends before it owns them
  const place = realPlace();
  const own = start.options.user === undefined ? place : placeOfUser(place, place.uid);
  const dialect = dialectOf?.(start.dialect);
  return await serve({ start, place: own, sandbox, dialect, onListening });
}

async function sayNext({ view }: DaemonNetwork, { name, log }: DaemonConfig): Promise<void> {
  if (log.format === 'json' || log.level === 'error' || log.level === 'silent') return;
  const { nextSteps } = await import('../next-steps.ts');
  const links = view.info().links.map(({ link }) => link);
  process.stderr.write(nextSteps({ name, links, ports: view.ports() }));
}

/** What systemd listens on for us must be for one of our sockets. */
function checkInherited(options: DaemonConfig, more: readonly string[]): void {
  const places = [...listeningPlaces(options), ...more];
  for (const place of inheritListeners(process.env, process.pid)) {
    if (places.includes(place)) continue;
    throw new UsageError([`LISTEN_FDS passes ${place}: name it by --listen, --mux or --api`]);
  }
}

/** @returns the exit status */
export async function serve(started: Started): Promise<number> {
  const { start, place, sandbox, dialect, onListening } = started;
  const { options } = start;
  checkInherited(options, dialect?.sockets ?? []);
  const file = options.log.file === undefined ? undefined : new FileSink(options.log.file);
  const [log, { openNetwork }] = await Promise.all([
    createLog(options.log, file ?? new StderrSink()),
    import('../../network/network.ts'),
  ]);
  const reload = async (network: DaemonNetwork | undefined): Promise<readonly string[]> => {
    file?.reopen();
    network?.reopenAudit();
    if (dialect !== undefined) return network?.reloadNames(options.dns.zones) ?? [];
    const { loadConfig } = await import('../config.ts');
    const { dns } = await loadConfig(start.commandLine, start.config, place);
    return network?.reloadNames(dns.zones) ?? [];
  };
  const ended = runDaemon(options, {
    openNetwork,
    log,
    version: packageVersion(),
    events: process,
    graceMs: GRACE_MS,
    sandbox,
    exit: (status) => process.exit(status),
    checkDirectories: () => checkRuntimeDir(place),
    reload,
    ...(dialect ?? {}),
    onReady: (network) => {
      new HeapReturn();
      if (dialect === undefined && file === undefined && isatty(2)) {
        void sayNext(network, options);
      }
    },
  });
  onListening();
  return await ended;
}
