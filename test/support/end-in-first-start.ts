/** To be imported by `hawser run` before all else: a SIGTERM in the midst of its first start, which does not wait for anything there. */
import fs from 'node:fs';

const { accessSync } = fs;
const isSecond = process.execArgv.some((arg) => arg.startsWith('--max-semi-space-size'));
if (!isSecond) {
  fs.accessSync = (...args: Parameters<typeof accessSync>): void => {
    fs.accessSync = accessSync;
    process.kill(process.pid, 'SIGTERM');
    accessSync(...args);
  };
}
