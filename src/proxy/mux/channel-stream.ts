/** Channels as Node streams, for users of the library; hawser's own splices use channels directly. */
import type { Clock } from '../../base/time.ts';
import type { Destination, IpEndpoint } from '../../mux/destination.ts';
import type { ChannelRequest } from '../../mux/request.ts';
import { NO_FLUSH } from '../flush-scheduler.ts';
import { ByteDuplex } from '../stream/byte-duplex.ts';
import type { MuxSocket } from './mux-socket.ts';

/** @returns undefined when either end takes no more channels */
export function openStream(
  socket: MuxSocket,
  clock: Pick<Clock, 'now'>,
  destination: Destination,
  client?: IpEndpoint,
): ByteDuplex | undefined {
  const duplex = new ByteDuplex({ clock, flusher: NO_FLUSH });
  const channel = socket.open(destination, duplex, client);
  return channel === undefined ? undefined : duplex.join(channel);
}

/** @returns undefined when the opener has given up */
export function acceptStream(
  clock: Pick<Clock, 'now'>,
  request: ChannelRequest,
): ByteDuplex | undefined {
  const duplex = new ByteDuplex({ clock, flusher: NO_FLUSH });
  const channel = request.accept(clock.now(), duplex);
  return channel === undefined ? undefined : duplex.join(channel);
}
