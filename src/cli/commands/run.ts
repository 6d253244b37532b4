/** `hawser run`: reads its options and gives up rights; `serve.ts` does the rest, mostly in a second start. */
import type { CommandLine } from '../config.ts';
import { printOutput } from '../output.ts';
import { placeOfUser, realPlace } from '../runtime-dir.ts';

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
  const { commandLine, config, onListening } = request;
  const place = realPlace();
  const { loadConfig } = await import('../config.ts');
  const asStarted = await loadConfig(commandLine, config, place);
  const options =
    asStarted.user === undefined
      ? asStarted
      : await loadConfig(commandLine, config, placeOfUser(place, await uidOf(asStarted.user)));
  if (request.printConfig) {
    const { printConfig } = await import('../print-config.ts');
    printOutput(printConfig(options));
    return 0;
  }
  const start = { options, commandLine, config };
  const { enterSandbox } = await import('../sandbox/enter.ts');
  const sandbox = await enterSandbox(start);
  const { serve } = await import('./serve.ts');
  return await serve({ start, place, sandbox, onListening });
}

async function uidOf(name: string): Promise<number> {
  const { userNamed } = await import('../sandbox/first-start.ts');
  return userNamed(name).uid;
}
