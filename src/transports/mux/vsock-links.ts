/** Links over the kernel's vsock: dialled from the host or the guest, listened on in a guest. */

import { connectVsock, listenVsock, vsockSocket } from '../../native/vsock.ts';
import type { PeerLink } from '../../proxy/agent/peers.ts';
import { Redialer } from './redialer.ts';
import { ListeningLink, type StreamLinkContext } from './stream-links.ts';

/** @throws NativeUnavailableError, PosixError when there is no vsock here at all */
export function dialVsock(
  link: PeerLink,
  cid: number,
  port: number,
  context: StreamLinkContext,
): Redialer {
  return new Redialer(link, context.log, (attempt) => {
    connectVsock(cid, port, (fd, problem) => {
      if (fd === undefined) {
        attempt.onFailed(problem);
        return;
      }
      attempt.onConnected();
      context.peers.addSocket(link, 'connector', vsockSocket(fd), undefined, attempt.onEnd);
    });
  }).start();
}

/** @throws NativeUnavailableError, PosixError */
export async function listenVsockLink(
  link: PeerLink,
  port: number,
  context: StreamLinkContext,
): Promise<ListeningLink> {
  const listening = new ListeningLink(link, context, {});
  listening.server = await listenVsock(port, (socket) => listening.onSocket(socket));
  return listening;
}
