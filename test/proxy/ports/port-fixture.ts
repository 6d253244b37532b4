/** A table of published ports on real sockets, with a recording stack behind it. */
import type { IpAddress } from '../../../src/base/ip-address.ts';
import {
  PortTable,
  type PortTableDeps,
  type PortTableOptions,
} from '../../../src/proxy/ports/port-table.ts';
import type { Guests } from '../../../src/proxy/ports/publication-guest.ts';
import { UdpPublisher } from '../../../src/proxy/ports/udp-publisher.ts';
import { Outboxes } from '../../../src/proxy/udp/outbox.ts';
import { SendPool } from '../../../src/proxy/udp/send-pool.ts';
import type { Guest } from '../../../src/stack/guest.ts';
import { removeStaleSocket } from '../../../src/transports/stale-socket.ts';
import {
  addressMap,
  flowBook,
  GUEST,
  OWNER,
  RecordingDownstream,
  SOCKETS,
  TestClock,
} from '../recording.ts';

/** Publications without an address are for whatever `first` says. */
export const fixedGuests = (
  first: () => IpAddress | undefined,
  more: () => readonly IpAddress[] = () => [],
): Guests => ({
  targetOf: ({ guestAddress }) => ({
    get address() {
      return guestAddress ?? first();
    },
    addressesFor: () => [guestAddress ?? first(), ...more()].filter((one) => one !== undefined),
    mac: undefined,
    attached: false,
    release: () => {},
  }),
});

export function portTable(
  deps: Partial<PortTableDeps> = {},
  options: Partial<PortTableOptions> = {},
): PortTable {
  const addresses = addressMap();
  const downstream = new RecordingDownstream();
  const flush = { schedule: (): void => downstream.flush() };
  const udp = new UdpPublisher({
    ...{ downstream, clock: new TestClock(), flush, addresses },
    pool: new SendPool(),
    outboxes: new Outboxes(() => undefined),
    native: { posix: undefined },
    sockets: SOCKETS,
    book: flowBook(),
    seed: 9,
  });
  const serve = (): boolean => false;
  const freePath = removeStaleSocket;
  const guests = fixedGuests(() => GUEST);
  const ownerOf = (): Guest => OWNER;
  return new PortTable(
    { serve, addresses, udp, guests, freePath, ownerOf, sockets: SOCKETS, ...deps },
    options,
  );
}
