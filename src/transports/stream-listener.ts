/** Where guests connect to us by stream sockets, any number of them, at any time: what such links have in common. */
import type { Server } from 'node:net';
import { acceptStreams } from '../native/stream/accept-streams.ts';
import type { HostStream } from '../native/stream/host-stream.ts';
import type { LinkContext } from './link-context.ts';
import { formatStreamAddress, type StreamAddress } from './stream-address.ts';
import { closeServer, openServer } from './stream-server.ts';

export interface StreamListener {
  /** `SCHEME:PATH` or `SCHEME:IP:PORT`, with the assigned port in place of 0. */
  readonly description: string;
  /** Stop listening. Connections are closed by whoever has them. */
  close(): Promise<void>;
}

/**
 * @param onStream called with each connection, and a name for it
 * @throws LinkInUseError, LinkError
 */
export async function listenForStreams(
  scheme: string,
  address: StreamAddress,
  context: LinkContext,
  onStream: (stream: HostStream, name: string) => void,
): Promise<StreamListener> {
  const server = await openServer(address, context.socketMode);
  const description = `${scheme}:${formatStreamAddress(boundAddress(server) ?? address)}`;
  let serial = 0;
  const onFailed = (): void => {
    context.log.error({ link: description }, 'accept failed');
  };
  server.on('error', onFailed);
  const events = {
    onStream: (stream: HostStream): void => onStream(stream, `${description}#${++serial}`),
    onFailed,
  };
  acceptStreams(server, events, context);
  return { description, close: () => closeServer(server) };
}

function boundAddress(server: Server): StreamAddress | undefined {
  const bound = server.address();
  if (bound === null || typeof bound !== 'object') return undefined;
  return { host: bound.address, port: bound.port };
}
