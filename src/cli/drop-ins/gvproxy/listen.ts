/** Listeners of gvproxy's APIs. */
import type { Server } from 'node:http';
import { type ApiListener, listenTcp, listenUnix } from '../../../control/api-listener.ts';
import { listenVsock } from '../../../native/vsock.ts';
import type { Endpoint } from './endpoint.ts';

/** @throws ListenError, NativeUnavailableError, PosixError */
export async function listenAt(endpoint: Endpoint, server: Server): Promise<ApiListener> {
  switch (endpoint.kind) {
    case 'unix':
      return await listenUnix(server, endpoint.path);
    case 'tcp':
      return await listenTcp(server, endpoint.host || '::', endpoint.port);
    case 'vsock': {
      const { cid, port } = endpoint;
      const listener = await listenVsock(
        port,
        (socket) => {
          server.emit('connection', socket);
          socket.resume();
        },
        undefined,
        cid,
      );
      return {
        where: `vsock:${cid ?? ''}:${port}`,
        tcp: undefined,
        close: async () => listener.close(),
      };
    }
  }
}
