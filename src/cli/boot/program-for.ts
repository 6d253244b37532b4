/**
 * Which program of `dist/bin` a command line is for. All are made of `main.ts`, and the build leaves out of each what it
 * never comes to (`tools/bundle.ts`), since V8 takes time for every part of a program, also for those that it does not run:
 *
 * - {@link DAEMON}: the commands that stay, and the programs that stand in for others
 * - {@link FIRST_START}: of these, as far as where a sandboxed daemon starts again. Where it turns out that there is no second
 *   start, it runs {@link DAEMON} from the beginning, so that what is decided here may be wrong, and only costs time.
 * - {@link MAIN}: everything
 */
import { isSecondStart } from '../sandbox/second-start.ts';

export const MAIN = 'hawser.main';
export const DAEMON = 'hawser.daemon';
export const FIRST_START = 'hawser.first';

type Started = Pick<NodeJS.Process, 'argv' | 'env' | 'platform'>;

/** @param name of the file in `dist/bin` that was started, without its extension */
export function programFor(name: string, { argv, env, platform }: Started): string {
  const isRun = name === 'hawser' && argv[2] === 'run';
  if (name === 'hawser' && !isRun && argv[2] !== 'usernet') return MAIN;
  if (platform !== 'linux' || isSecondStart(env)) return DAEMON;
  if (env['HAWSER_SANDBOX_INHERITED'] !== undefined) return DAEMON;
  const asked = argv.slice(2).join(' ');
  if (/(^| )--?sandbox[= ]off\b/.test(asked)) return DAEMON;
  if (isRun) return FIRST_START;
  if (name !== 'hawser-gvproxy') return DAEMON;
  const isAsked = /(^| )--?sandbox[= ]/.test(asked) || (env['HAWSER_SANDBOX'] ?? 'off') !== 'off';
  return isAsked ? FIRST_START : DAEMON;
}
