/** `hawser demo`: its options checked like those of `run`; the tour is in `demo/`. */

import { UsageError } from '../../network/errors.ts';
import { decimal } from '../../network/parsed.ts';
import { type CommandLine, loadConfig } from '../config.ts';
import { makeInstanceDir, realPlace, removeInstanceDir } from '../runtime-dir.ts';

export interface DemoCommandRequest {
  readonly commandLine: CommandLine;
  readonly config: string | undefined;
  readonly once: boolean;
  readonly vm: boolean;
  readonly size: string | undefined;
  readonly json: boolean;
}

const SIZE_MIB_MAX = 65_536;

/** @returns the exit status */
export async function demoCommand(request: DemoCommandRequest): Promise<number> {
  const { once, vm, json, size } = request;
  const sizeMiB = size === undefined ? undefined : decimal(size, 1, SIZE_MIB_MAX);
  if (size !== undefined && sizeMiB === undefined) {
    throw new UsageError([`--size ${size}: must be an integer from 1 to ${SIZE_MIB_MAX}`]);
  }
  const place = realPlace();
  // Self-checks may run side by side; a demo that stays is found under a name that can be typed.
  const name = once ? `demo-${process.pid}` : 'demo';
  const options = await loadConfig({ name, ...request.commandLine }, request.config, place);
  const prepare = (): void => {
    makeInstanceDir(place, options.name);
    // Also where a second signal ends the process at once.
    if (once) process.once('exit', () => removeInstanceDir(place, options.name));
  };
  const { runDemo } = await import('../demo/demo.ts');
  const hasListen = 'listen' in request.commandLine;
  const sized = sizeMiB === undefined ? {} : { sizeMiB };
  return await runDemo({ once, vm, json, options, hasListen, prepare, ...sized });
}
