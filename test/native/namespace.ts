/** Network namespaces that a test makes for itself. */
import { execFile, execFileSync } from 'node:child_process';

let serial = 0;

export class Namespace {
  readonly name: string = `hawser-${process.pid}-${++serial}`;

  constructor() {
    execFileSync('ip', ['netns', 'add', this.name]);
    this.ip('link set lo up');
  }

  ip(command: string): void {
    execFileSync('ip', ['-n', this.name, ...command.split(' ')]);
  }

  /** Run a shell command inside, without stopping the event loop. @returns its standard output */
  run(command: string): Promise<string> {
    return new Promise((done, fail) => {
      const args = ['netns', 'exec', this.name, 'sh', '-c', command];
      execFile('ip', args, { timeout: 10_000 }, (error, stdout, stderr) => {
        if (error === null) done(stdout);
        else fail(new Error(`${command}: ${error.message}\n${stdout}${stderr}`));
      });
    });
  }

  remove(): void {
    execFileSync('ip', ['netns', 'del', this.name]);
  }
}
