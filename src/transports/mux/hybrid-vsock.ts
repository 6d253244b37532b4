/**
 * The Unix sockets by which Firecracker and Cloud Hypervisor expose a VM's vsock. To reach a port of the
 * guest, connect to PATH and send `CONNECT PORT\n`; the answer is `OK NUMBER\n`, and everything after it is
 * the guest's. The guest's connections to port PORT of the host arrive at PATH_PORT, where we listen.
 */
import type { Socket } from 'node:net';
import type { PeerLink } from '../../proxy/agent/peers.ts';
import type { OpenMuxLink } from './mux-link.ts';
import { type Attempt, Redialer } from './redialer.ts';
import {
  connectPaused,
  listenForPeers,
  type PeerListenerContext,
  type StreamLinkContext,
} from './stream-links.ts';

/** `OK 4294967295\n` */
const MAX_ANSWER = 32;
const ANSWER_TIMEOUT_MS = 5_000;
const NEWLINE = 0x0a;

export async function openHybridVsock(
  link: PeerLink,
  path: string,
  port: number,
  context: PeerListenerContext,
): Promise<OpenMuxLink> {
  const back = await listenForPeers(link, { path: `${path}_${port}` }, context);
  const dialled = new Redialer(link, context.log, (attempt) => {
    // An agent that dials needs no second link.
    if (context.peers.list().some((peer) => peer.link === back)) {
      attempt.onFailed('the agent connected');
      return undefined;
    }
    return connectPaused({ path }, attempt, (socket) =>
      greet(link, socket, port, attempt, context),
    );
  });
  dialled.start();
  return {
    ...link,
    get state() {
      return dialled.state;
    },
    get problem() {
      return dialled.problem;
    },
    close: async () => {
      await dialled.close();
      await back.close();
    },
  };
}

function greet(
  link: PeerLink,
  socket: Socket,
  port: number,
  attempt: Attempt,
  { peers }: StreamLinkContext,
): void {
  let got = Buffer.alloc(0);
  const timer = setTimeout(() => socket.destroy(new Error('no answer')), ANSWER_TIMEOUT_MS);
  let problem = 'the VM has no listener on that port';
  const finish = (): void => {
    clearTimeout(timer);
    socket.removeAllListeners();
  };
  socket.on('error', (error) => {
    problem = error.message;
  });
  socket.on('close', () => {
    finish();
    attempt.onFailed(`CONNECT ${port}: ${problem}`);
  });
  socket.on('data', (chunk: Buffer) => {
    got = Buffer.concat([got, chunk]);
    const end = got.indexOf(NEWLINE);
    if (end < 0 && got.length < MAX_ANSWER) return;
    const answer = got.subarray(0, end < 0 ? MAX_ANSWER : end).toString('latin1');
    if (end < 0 || !/^OK \d+$/.test(answer)) {
      problem = `unexpected answer ${JSON.stringify(answer)}`;
      socket.destroy();
      return;
    }
    finish();
    socket.pause();
    attempt.onConnected();
    peers.addSocket(link, 'connector', socket, got.subarray(end + 1), attempt.onEnd);
  });
  socket.write(`CONNECT ${port}\n`);
  socket.resume();
}
