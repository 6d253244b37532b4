/** Links over the kernel's vsock: dialled from the host or the guest, listened on in a guest. */

import { type NativeHost, THIS_HOST } from '../../native/libc.ts';
import type { LinkSocket } from '../../native/socket-over-handle.ts';
import { connectVsock, listenVsock } from '../../native/vsock.ts';
import type { PeerLink } from '../../proxy/agent/peers.ts';
import { Redialer } from './redialer.ts';
import { ListeningLink, type StreamLinkContext } from './stream-links.ts';

/** @throws NativeUnavailableError, PosixError at once, when the system has no vsock */
export function dialVsock(
  link: PeerLink,
  cid: number,
  port: number,
  context: StreamLinkContext,
  host: NativeHost = THIS_HOST,
): Redialer {
  let isFirst = true;
  return new Redialer(link, context.log, (attempt) => {
    const onDone = (socket: LinkSocket | undefined, problem: string): void => {
      if (socket === undefined) {
        attempt.onFailed(problem);
        return;
      }
      attempt.onConnected();
      context.peers.addSocket(link, 'connector', socket, undefined, attempt.onEnd);
    };
    try {
      connectVsock(cid, port, onDone, host);
    } catch (error) {
      if (isFirst) throw error;
      attempt.onFailed(error instanceof Error ? error.message : String(error));
    } finally {
      isFirst = false;
    }
    return undefined;
  }).start();
}

/** @throws NativeUnavailableError, PosixError, or an error of node-vsock */
export async function listenVsockLink(
  link: PeerLink,
  port: number,
  context: StreamLinkContext,
  host: NativeHost = THIS_HOST,
): Promise<ListeningLink> {
  const listening = new ListeningLink(link, context, {});
  const listener = await listenVsock(port, (socket) => listening.onSocket(socket), host);
  listening.stop = async () => listener.close();
  return listening;
}
