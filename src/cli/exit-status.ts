import { EXIT_FAILURE, EXIT_USAGE, isUsageError, messageOf } from '../network/errors.ts';

/**
 * @param program whose name lines of stderr begin with
 * @returns the exit status of `run`; what it throws is explained on stderr
 */
export async function exitStatusOf(
  run: () => Promise<number>,
  program: string = 'hawser',
): Promise<number> {
  try {
    return await run();
  } catch (error) {
    const lines = messageOf(error).split('\n');
    process.stderr.write(lines.map((line) => `${program}: ${line}\n`).join(''));
    return isUsageError(error) ? EXIT_USAGE : EXIT_FAILURE;
  }
}
