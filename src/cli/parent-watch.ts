/**
 * Detects the end of the process that started this one. The system gives an orphan another parent, which is polled every
 * {@link POLL_MS}. (PR_SET_PDEATHSIG is immediate, but fires for the parent's thread, which may end long before it.)
 *
 * A parent that has died before the first line of ours ran cannot be noticed by its number alone: an orphan's parent
 * is process 1 or a subreaper, which may have started us as well. Launchers that care name themselves.
 */
import { RunError } from '../network/errors.ts';
import type { Start } from './boot/program-file.ts';

const POLL_MS = 500;

/** A bundle's parameter: only there. */
declare const HAWSER_START: Start;

/** As early as can be: this module is loaded by the program's first lines. */
const PARENT_AT_START = typeof HAWSER_START === 'object' ? HAWSER_START.parent : process.ppid;

/**
 * @param parent its process id, or true for the parent at the start of this program
 * @param onGone called once
 * @returns a function that stops the watch
 * @throws RunError when it is gone, or cannot be known
 */
export function watchParent(parent: number | true, onGone: (pid: number) => void): () => void {
  const pid = parent === true ? PARENT_AT_START : parent;
  if (parent === true && pid <= 1) {
    throw new RunError(
      '--exit-with-parent: the parent process is gone already, or is process 1; if that one starts hawser, say --exit-with-parent=1',
    );
  }
  if (process.ppid !== pid) {
    const found =
      parent === true ? 'is gone already' : `is not the parent, which is ${process.ppid}`;
    throw new RunError(`--exit-with-parent: process ${pid} ${found}`);
  }
  const timer = setInterval(() => {
    if (process.ppid === pid) return;
    clearInterval(timer);
    onGone(pid);
  }, POLL_MS);
  timer.unref();
  return () => clearInterval(timer);
}
