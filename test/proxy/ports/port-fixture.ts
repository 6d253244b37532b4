/** A table of published ports on real sockets, with a recording stack behind it. */
import type { IpAddress } from '../../../src/base/ip-address.ts';
import {
  PortTable,
  type PortTableDeps,
  type PortTableOptions,
} from '../../../src/proxy/ports/port-table.ts';
import { UdpPublisher } from '../../../src/proxy/ports/udp-publisher.ts';
import { Outboxes } from '../../../src/proxy/udp/outbox.ts';
import { SendPool } from '../../../src/proxy/udp/send-pool.ts';
import { removeStaleSocket } from '../../../src/transports/stale-socket.ts';
import { addressMap, GUEST, RecordingDownstream, TestClock } from '../recording.ts';

export function portTable(
  deps: Partial<PortTableDeps> = {},
  options: Partial<PortTableOptions> = {},
): PortTable {
  const addresses = addressMap();
  const firstGuest = (): IpAddress | undefined => GUEST;
  const downstream = new RecordingDownstream();
  const flush = { schedule: (): void => downstream.flush() };
  const udp = new UdpPublisher({
    ...{ downstream, clock: new TestClock(), flush, addresses, firstGuest },
    pool: new SendPool(),
    outboxes: new Outboxes(() => undefined),
    seed: 9,
  });
  const serve = (): boolean => false;
  const freePath = removeStaleSocket;
  return new PortTable({ serve, addresses, udp, firstGuest, freePath, ...deps }, options);
}
