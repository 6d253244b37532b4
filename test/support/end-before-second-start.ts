/** To be imported by `hawser run` before all else: a SIGTERM after the last turn of its first start's loop. */
import { existsSync, readFileSync } from 'node:fs';

const isSecond = process.execArgv.some((arg) => arg.startsWith('--max-semi-space-size'));
if (!isSecond) {
  const { argv } = process;
  const { slice } = argv;
  argv.slice = (...range) => {
    // It is asked for in other places before system calls are filtered, not behind that.
    if (isFiltered()) process.kill(process.pid, 'SIGTERM');
    return slice.apply(argv, range);
  };
}

function isFiltered(): boolean {
  const status = '/proc/thread-self/status';
  return existsSync(status) && /^Seccomp:\t2$/m.test(readFileSync(status, 'latin1'));
}
