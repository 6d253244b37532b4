/**
 * Detects the end of a network namespace by its path: of a file that it is mounted on, or of a process. Both are polled:
 * neither unmounting nor /proc has an event.
 */
import { statSync } from 'node:fs';
import { errorCode } from '../network/errors.ts';

const POLL_MS = 250;

/**
 * @param onGone called once
 * @returns a function that stops the watch
 */
export function watchNetns(path: string, onGone: () => void): () => void {
  const atStart = inodeOf(path);
  const timer = setInterval(() => {
    if (inodeOf(path) === atStart) return;
    clearInterval(timer);
    onGone();
  }, POLL_MS);
  timer.unref();
  return () => clearInterval(timer);
}

/** @returns undefined when it is gone; 0 when nobody may tell, as of a process of others */
function inodeOf(path: string): number | undefined {
  try {
    return statSync(path).ino;
  } catch (error) {
    return ['ENOENT', 'ESRCH'].includes(errorCode(error)) ? undefined : 0;
  }
}
