/** The multiplexer's links, and what their channels may open. */
import { ipv4 } from '../base/ip-address.ts';
import type { Log } from '../base/log.ts';
import type { Clock } from '../base/time.ts';
import type { GuestApi } from '../control/ports/guest-api.ts';
import type { NetworkConfig } from './config.ts';
import type { DataPath } from './data-path.ts';
import type { EventHub } from './event-hub.ts';
import type { GuestDirectory } from './guest-directory.ts';
import type { Guests } from './guests.ts';
import { MuxLinks } from './mux-links.ts';

const LOOPBACK = ipv4(0x7f00_0001);

export interface MuxDeps {
  readonly config: NetworkConfig;
  readonly dataPath: DataPath;
  readonly guests: Guests;
  readonly directory: GuestDirectory;
  readonly guestApi: () => GuestApi | undefined;
  /** The agents behind a link are gone for good. */
  readonly onAgentGone: (link: string) => void;
  readonly clock: Clock;
  readonly log: Log;
  readonly hub: EventHub;
}

export function makeMux(deps: MuxDeps): MuxLinks {
  const { config, dataPath, guests, directory, guestApi, onAgentGone, clock, log, hub } = deps;
  const { stack, destinations, sockets, book, turns, flusher } = dataPath;
  const { keepaliveS, sourceAddress, socketMode, vhostMemory } = config;
  return new MuxLinks({
    ...{ links: config.mux.links, allow: config.mux.allow },
    opensTarget: (owner, target, link) => {
      const by = owner ?? stack.guests.nobody;
      if (target.proto === 'unix') return destinations.opensTarget(by, 'tcp', LOOPBACK, 0, link);
      const { proto, address, port } = target;
      return destinations.opensTarget(by, proto, address, port, link);
    },
    serves: (now, request, owner, link) =>
      guestApi()?.onChannel(now, request, owner, link) ?? false,
    dialGuest: (guest, port, handler) => guests.dial(guest, port, handler),
    onEvent: (event) => hub.emit('mux', event),
    ...{ guests: directory, sockets, book, turns, flusher, clock, log },
    ...{ sourceAddress, keepaliveS, socketMode, vhostMemory },
    ...{ graceMs: config.linkGraceMs, onAgentGone },
  });
}
