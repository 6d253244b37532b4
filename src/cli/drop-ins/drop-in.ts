/**
 * Programs that stand in for others: each reads the command line of another program, and runs the daemon of `hawser run`,
 * with that program's API beside or in the place of hawser's own.
 *
 * The plan of a command line is plain data, since the first start of the program hands it to the second
 * (`../sandbox/first-start.ts`).
 */

import { absolute } from '../../native/current-directory.ts';
import type { DaemonNetwork } from '../../network/daemon-network.ts';
import { UsageError } from '../../network/errors.ts';
import type { Network } from '../../network/network-interface.ts';
import type { Dialect } from '../commands/serve.ts';
import type { ServingDaemon } from '../daemon.ts';
import type { DaemonConfig } from '../daemon-config.ts';
import type { Kept } from '../sandbox/first-start.ts';
import { linkPaths } from '../socket-paths.ts';

export interface DropIn<D> {
  /** What its messages begin with. */
  readonly name: string;
  readonly pidFileEnd?: '' | '\n';
  /**
   * What a command line asks for.
   *
   * @returns the exit status when nothing is to be run, and everything has been written
   * @throws UsageError, RunError
   */
  plan(argv: readonly string[]): Promise<Plan<D> | number>;
  /** Where `serve` listens: paths of Unix sockets, and `tcpPlace`s. */
  sockets(dialect: D): readonly string[];
  /** Called when the network is there, and before guests can attach to its links. */
  serve(dialect: D, network: Network & DaemonNetwork, daemon: ServingDaemon): Promise<void>;
}

export interface Plan<D> {
  readonly options: DaemonConfig;
  /** What `serve` needs beyond that: plain data. */
  readonly dialect: D;
  /** What `serve` needs of the system, beside what the options name. */
  readonly kept?: Kept;
}

/** @returns the exit status */
export async function runDropIn(
  dropIn: DropIn<unknown>,
  argv: readonly string[],
  onListening: () => void,
): Promise<number> {
  const plan = await dropIn.plan(argv);
  if (typeof plan === 'number') return plan;
  const { options, dialect } = plan;
  checkPlaces(dropIn.sockets(dialect), options);
  const [{ enterSandbox }, { realPlace }] = await Promise.all([
    import('../sandbox/enter.ts'),
    import('../runtime-dir.ts'),
  ]);
  const start = { options, dialect, commandLine: {}, config: undefined };
  const sandbox = await enterSandbox(start, plan.kept);
  const { serve } = await import('../commands/serve.ts');
  return await serve({
    start,
    place: realPlace(),
    sandbox,
    dialect: dialectOf(dropIn, dialect),
    onListening,
  });
}

const IS_OF_TCP = /^[^/]*:\d+$/;

/** @throws UsageError where two of all sockets and files are at one place */
function checkPlaces(ofDialect: readonly string[], options: DaemonConfig): void {
  const { pidFile, log } = options;
  const files = [pidFile, log.file].filter((path) => path !== undefined);
  const seen = new Set([...linkPaths(options), ...files].map((path) => absolute(path)));
  for (const place of ofDialect) {
    if (IS_OF_TCP.test(place)) continue; // port 0 may be there twice; of others the system says it
    const path = absolute(place);
    if (seen.has(path)) {
      throw new UsageError([
        `${place}: must not be used twice: each socket and file needs a place of its own`,
      ]);
    }
    seen.add(path);
  }
}

/** The second start of its program. @returns the exit status */
export async function continueDropIn(
  dropIn: DropIn<unknown>,
  onListening: () => void,
): Promise<number> {
  const { continueRun } = await import('../commands/serve.ts');
  return await continueRun(onListening, (handedOver) => dialectOf(dropIn, handedOver));
}

const dialectOf = (dropIn: DropIn<unknown>, dialect: unknown): Dialect => ({
  sockets: dropIn.sockets(dialect),
  pidFileEnd: dropIn.pidFileEnd,
  serveMore: (network, daemon) => dropIn.serve(dialect, network, daemon),
});
