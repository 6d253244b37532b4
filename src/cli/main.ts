/** The `hawser` program, and those that stand in for others. Only what must be in place first is done here; the rest is in `program.ts`. */
import type { Start } from './boot/program-file.ts';
import type { DropIn } from './drop-ins/drop-in.ts';
import { COMMANDS, DROP_INS } from './drop-ins/programs.ts';
import { exitOnSignals, keepOnSignals } from './early-signals.ts';
import { isSecondStart } from './sandbox/second-start.ts';
import './parent-watch.ts'; // first: records the parent process before it can have ended

/** The bundle's parameter: only there. */
declare const HAWSER_START: Start;

async function main(): Promise<number> {
  const [, , command = ''] = process.argv;
  const again = isSecondStart(process.env);
  const program = typeof HAWSER_START === 'object' ? HAWSER_START.name : 'hawser';
  const dropIn = DROP_INS.get(program) ?? (again ? COMMANDS.get(command) : undefined);
  if (dropIn !== undefined || command === 'run' || COMMANDS.has(command)) exitOnSignals();
  // A reader that went away (`hawser flows | head`) is no failure of ours.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

  if (dropIn !== undefined) return await runAsDropIn(await dropIn());

  // dockerd's arguments (`-proto tcp ...`) are no options of ours, and one process a port must start fast.
  if (command === 'docker-proxy') {
    const { dockerProxyCommand } = await import('./commands/docker-proxy.ts');
    return await dockerProxyCommand(process.argv.slice(3));
  }
  if (command === 'run' && again) {
    const [{ exitStatusOf }, { continueRun }] = await Promise.all([
      import('./exit-status.ts'),
      import('./commands/serve.ts'),
    ]);
    return await exitStatusOf(() => continueRun(keepOnSignals));
  }
  const { runProgram } = await import('./program.ts');
  const status = await runProgram();
  await Promise.all([taken(process.stdout), taken(process.stderr)]);
  return status;
}

/** A pipe takes 64 KiB at once, and the rest as its reader reads. Done, too, when that has left. */
async function taken(stream: NodeJS.WriteStream): Promise<void> {
  if (stream.writableLength === 0) return;
  await new Promise<void>((resolve) => stream.write('', () => resolve()));
}

async function runAsDropIn(dropIn: DropIn<unknown>): Promise<number> {
  const [{ exitStatusOf }, { continueDropIn, runDropIn }, { EXIT_FAILURE }] = await Promise.all([
    import('./exit-status.ts'),
    import('./drop-ins/drop-in.ts'),
    import('../network/errors.ts'),
  ]);
  return await exitStatusOf(
    () =>
      isSecondStart(process.env)
        ? continueDropIn(dropIn, keepOnSignals)
        : runDropIn(dropIn, process.argv.slice(2), keepOnSignals),
    dropIn.name,
    EXIT_FAILURE, // as of the programs that they stand in for
  );
}

// Handles of libraries must not keep a daemon alive that has ended.
void main().then((status) => process.exit(status));
