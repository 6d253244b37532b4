import { EXIT_FAILURE, EXIT_USAGE, isUsageError, messageOf } from '../network/errors.ts';

/**
 * @param program whose name lines of stderr begin with
 * @param usage the status for bad usage
 * @returns the exit status of `run`; what it throws is explained on stderr
 */
export async function exitStatusOf(
  run: () => Promise<number>,
  program: string = 'hawser',
  usage: number = EXIT_USAGE,
): Promise<number> {
  try {
    return await run();
  } catch (error) {
    const lines = messageOf(error).split('\n');
    process.stderr.write(lines.map((line) => `${program}: ${line}\n`).join(''));
    return isUsageError(error) ? usage : EXIT_FAILURE;
  }
}
