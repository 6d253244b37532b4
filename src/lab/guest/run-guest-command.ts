/** Run `guest-commands.ts` as a process, in the guest or on the host, and read what it says. */
import { fileURLToPath } from 'node:url';
import * as z from 'zod';
import { distFile } from '../../network/own-files.ts';
import { LeftOutError } from '../step-report.ts';
import { GuestError, type OnProgress, type Transfer } from './embedded-guest.ts';
import { runCommand } from './run-command.ts';

export interface CommandDone {
  readonly bytes?: number | undefined;
  readonly sha256?: string | undefined;
  readonly ms?: number | undefined;
  readonly address?: string | undefined;
}

interface Line {
  readonly progress?: number | undefined;
  readonly error?: string | undefined;
  readonly leftOut?: string | undefined;
  readonly done?: CommandDone | undefined;
}

const Said: z.ZodType<Line> = z.object({
  progress: z.number().optional(),
  error: z.string().optional(),
  leftOut: z.string().optional(),
  done: z
    .object({
      bytes: z.number().optional(),
      sha256: z.string().optional(),
      ms: z.number().optional(),
      address: z.string().optional(),
    })
    .optional(),
});

const COMMANDS = fileURLToPath(distFile('bin/guest-commands.js'));
const STDERR_CHARS = 300;

export const guestCommand = (args: readonly string[]): readonly string[] => [
  process.execPath,
  COMMANDS,
  ...args,
];

/** One line of its stdout. */
export const readGuestCommand = (line: string): Line => Said.parse(JSON.parse(line));

/**
 * @param enter makes an argv one that runs where it is wanted
 * @param signal kills it
 * @returns its `done` object
 * @throws GuestError with what it said, LeftOutError for what cannot be tried here
 */
export async function runGuestCommand(
  args: readonly string[],
  enter: (argv: readonly string[]) => readonly string[],
  signal: AbortSignal,
  onProgress?: OnProgress,
): Promise<CommandDone> {
  let done: CommandDone | undefined;
  let error = '';
  let leftOut: string | undefined;
  const onLine = (line: string): void => {
    const said = readGuestCommand(line);
    if (said.progress !== undefined) onProgress?.(said.progress);
    done ??= said.done;
    error = said.error ?? error;
    leftOut = said.leftOut ?? leftOut;
  };
  const { status, stderr } = await runCommand(enter(guestCommand(args)), onLine, signal);
  if (done !== undefined) return done;
  if (leftOut !== undefined) throw new LeftOutError(leftOut);
  const said = error || stderr.trim().slice(0, STDERR_CHARS) || `exit status ${status}`;
  throw new GuestError(`${args.join(' ')}: ${said}`);
}

export const asTransfer = ({ bytes = 0, sha256 = '', ms = 0 }: CommandDone): Transfer => ({
  bytes,
  sha256,
  ms,
});
