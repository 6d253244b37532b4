import assert from 'node:assert/strict';
import { gvisorStats } from '../../../src/control/gvproxy/stats.ts';
import type { StackDrop } from '../../../src/stack/drops.ts';

/** Of gVisor's names, which of our reasons each counts, and no others. */
const FIGURES: readonly (readonly [path: string, reasons: readonly StackDrop[]])[] = [
  ['ARP.MalformedPacketsReceived', ['arp-truncated', 'arp-bad-operation']],
  ['ICMP.V4.PacketsSent.RateLimited', ['icmp-error-rate-limited']],
  ['IP.Forwarding.ExhaustedTTL', ['ipv4-ttl-expired', 'ipv6-hop-limit-exceeded']],
  ['IP.Forwarding.PacketTooBig', ['ipv4-too-big', 'ipv6-too-big']],
  ['IP.InvalidDestinationAddressesReceived', ['ipv6-bad-destination']],
  ['IP.InvalidSourceAddressesReceived', ['ipv4-bad-source', 'ipv6-bad-source']],
  ['IP.MalformedFragmentsReceived', ['fragment-overlap', 'fragment-timed-out']],
  ['IP.MalformedPacketsReceived', ['ipv4-truncated', 'ipv4-bad-checksum', 'ipv6-bad-version']],
  ['NICs.MalformedL4RcvdPackets', ['icmp-truncated', 'icmpv6-truncated']],
  ['NICs.UnknownL3ProtocolRcvdPacketCounts.Total', ['frame-unknown-type']],
  [
    'NICs.UnknownL4ProtocolRcvdPacketCounts.Total',
    ['ipv4-unknown-protocol', 'ipv6-unknown-protocol'],
  ],
  ['TCP.ChecksumErrors', ['tcp-bad-checksum']],
  ['TCP.ForwardMaxInFlightDrop', ['tcp-request-table-full', 'tcp-request-evicted']],
  ['TCP.InvalidSegmentsReceived', ['tcp-truncated', 'tcp-bad-flags', 'tcp-bad-offset']],
  ['UDP.ChecksumErrors', ['udp-bad-checksum']],
  ['UDP.MalformedPacketsReceived', ['udp-truncated', 'udp-bad-length']],
  ['UDP.UnknownPortErrors', ['udp-no-service']],
];
/** These count what other names count too. */
const ABOUT_ALL = new Set(['DroppedPackets', 'NICs.MalformedL4RcvdPackets']);

const statsOf = (drops: Readonly<Record<string, number>>, stack = {}): object =>
  gvisorStats({
    traffic: () => ({ framesToHost: 1, framesToGuest: 2, bytesToHost: 3, bytesToGuest: 4 }),
    counters: () => ({ drops, stack }),
  });

/** Every figure that is not 0, by its path. */
function figures(stats: object, above = ''): Record<string, number> {
  const found: Record<string, number> = {};
  for (const [name, value] of Object.entries(stats)) {
    const path = `${above}${name}`;
    if (typeof value === 'object') Object.assign(found, figures(value, `${path}.`));
    else if (value !== 0) found[path] = value;
  }
  return found;
}

const TRAFFIC = {
  BytesReceived: 3,
  BytesSent: 4,
  'NICs.Rx.Bytes': 3,
  'NICs.Rx.Packets': 1,
  'NICs.Tx.Bytes': 4,
  'NICs.Tx.Packets': 2,
};

describe('control/gvproxy/stats', () => {
  for (const [path, reasons] of FIGURES) {
    for (const reason of reasons) {
      it(`${path} counts ${reason}`, () => {
        const counted = figures(statsOf({ [reason]: 5 }));
        assert.equal(counted[path], 5);
        const others = Object.keys(counted).filter((one) => !ABOUT_ALL.has(one) && one !== path);
        assert.deepEqual(others, Object.keys(TRAFFIC).sort());
      });
    }
  }

  it('an acknowledgement out of place is no segment that could not be read', () =>
    assert.deepEqual(figures(statsOf({ 'tcp-bad-ack': 5 })), { DroppedPackets: 5, ...TRAFFIC }));

  it('connections: opened either way, and those that are there', () => {
    const stack = { dialed: 10, accepted: 20, connections: 3, 'time-waits': 4 };
    assert.deepEqual(figures(statsOf({}, stack)), {
      ...TRAFFIC,
      'TCP.ActiveConnectionOpenings': 10,
      'TCP.CurrentConnected': 7,
      'TCP.CurrentEstablished': 3,
      'TCP.PassiveConnectionOpenings': 20,
    });
  });
});
