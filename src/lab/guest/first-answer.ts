/** Wait for a program that stays, until it says what is waited for. */
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { GuestError } from './embedded-guest.ts';

const TIMEOUT_MS = 15_000;
const SAID_CHARS = 300;

/**
 * @param failure begins the error's message: `udhcpc got no lease`
 * @param read makes the answer of a line of stdout or stderr; undefined for any other line
 * @throws GuestError with what the program said; it is killed when it says nothing
 */
export function firstAnswer<T>(
  child: ChildProcess,
  failure: string,
  read: (line: string) => T | undefined,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let said = '';
    const fail = (why: string): void => {
      clearTimeout(timer);
      reject(new GuestError(`${failure}: ${why}: ${said.trim().slice(-SAID_CHARS)}`));
    };
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      fail(`nothing within ${TIMEOUT_MS / 1000} s`);
    }, TIMEOUT_MS);
    const onLine = (line: string): void => {
      const answer = read(line);
      if (answer === undefined) {
        said = `${said}${line}\n`.slice(-2 * SAID_CHARS);
        return;
      }
      clearTimeout(timer);
      resolve(answer);
    };
    if (child.stdout !== null) createInterface({ input: child.stdout }).on('line', onLine);
    if (child.stderr !== null) createInterface({ input: child.stderr }).on('line', onLine);
    child.once('error', (error) => fail(error.message));
    child.once('exit', (status) => fail(`exit status ${status}`));
  });
}
