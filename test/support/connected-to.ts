/** A connection to the Unix socket of a program that has just made it. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';

const DEADLINE_MS = 10_000;

/** The path is there from bind(2) on, and connections are refused until listen(2): a refusal is final only after a while. */
export async function connectedTo(path: string): Promise<Socket> {
  const deadline = performance.now() + DEADLINE_MS;
  for (;;) {
    const socket = connect(path);
    try {
      await once(socket, 'connect');
      return socket;
    } catch (error) {
      if (!isRefusal(error) || performance.now() > deadline) throw error;
    }
    await turn();
  }
}

const isRefusal = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED';
