/** The demo's servers are at the host's loopback, as what guests reach there and what is published: it has to be up. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { errorCode, messageOf, RunError } from '../../network/errors.ts';

/**
 * @param port where the demo's own server listens, at 127.0.0.1
 * @throws RunError that says what to do
 */
export async function checkLoopback(port: number): Promise<void> {
  const socket = connect({ port, host: '127.0.0.1' });
  try {
    await once(socket, 'connect');
  } catch (cause) {
    throw new RunError(loopbackProblem(port, cause), { cause });
  } finally {
    socket.destroy();
  }
}

function loopbackProblem(port: number, error: unknown): string {
  const needs = "the demo's own servers are there, and its guest connects to them through hawser";
  return ['ENETUNREACH', 'EADDRNOTAVAIL'].includes(errorCode(error))
    ? `the loopback interface of this host is down, or has no 127.0.0.1: ${needs}; bring it up with "ip link set lo up"`
    : `nothing can connect to 127.0.0.1 port ${port}: ${messageOf(error)}; ${needs}`;
}
