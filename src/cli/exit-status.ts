import { EXIT_FAILURE, EXIT_USAGE, isUsageError, messageOf } from '../network/errors.ts';

/** Also what the documentation asks for: Node has twenty itself. */
const FILES_NEEDED = 64;

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
    if (/\bEMFILE\b/.test(lines.join(' '))) lines.push(await moreFiles());
    process.stderr.write(lines.map((line) => `${program}: ${line}\n`).join(''));
    return isUsageError(error) ? usage : EXIT_FAILURE;
  }
}

async function moreFiles(): Promise<string> {
  const { openFilesLimit } = await import('../native/open-files-limit.ts');
  const limit = openFilesLimit(); // not known where its file cannot be opened either
  const few = Number.isFinite(limit)
    ? `this process may have ${limit} files open`
    : 'too few files may be open';
  return `${few}: it needs ${FILES_NEEDED}, and one for each connection; allow more by "ulimit -n", or LimitNOFILE= in a unit of systemd`;
}
