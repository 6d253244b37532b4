/** A TCP listener of another process that accepts nothing, and whose queue is full: its kernel drops SYNs. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

const LISTEN = `
const server = require('node:net').createServer((socket) => socket.resume());
server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => process.stdout.write(server.address().port + '\\n'));
`;
/** Linux takes one more than the backlog. */
const QUEUED = 2;

export class FullListener {
  readonly port: number;
  private readonly child: ChildProcess;
  private readonly queued: readonly Socket[];

  private constructor(child: ChildProcess, port: number, queued: readonly Socket[]) {
    this.child = child;
    this.port = port;
    this.queued = queued;
  }

  static async start(): Promise<FullListener> {
    const child = spawn(process.execPath, ['-e', LISTEN], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = await once(child.stdout, 'data');
    const port = Number(line);
    child.kill('SIGSTOP');
    const queued: Socket[] = [];
    for (let i = 0; i < QUEUED; i++) {
      const socket = connect(port, '127.0.0.1');
      await once(socket, 'connect');
      queued.push(socket);
    }
    return new FullListener(child, port, queued);
  }

  /** Accept what waits, and what comes. */
  accept(): void {
    this.child.kill('SIGCONT');
  }

  async close(): Promise<void> {
    for (const socket of this.queued) socket.destroy();
    this.child.kill('SIGKILL');
    await once(this.child, 'exit');
  }
}
