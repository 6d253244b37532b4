import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { Counters } from '../../../src/base/counters.ts';
import { ipv4 } from '../../../src/base/ip-address.ts';
import {
  UDP_CHANNEL_DEFAULTS,
  type UdpChannelCount,
  type UdpChannelOptions,
  UdpChannels,
} from '../../../src/proxy/agent/udp-channels.ts';
import { hostTarget } from '../../../src/proxy/udp/host-target.ts';
import { Outbox, Outboxes } from '../../../src/proxy/udp/outbox.ts';
import type { FrontPeer } from '../../../src/proxy/udp/udp-front.ts';
import { flowBook } from '../recording.ts';

const LOOPBACK = ipv4(0x7f00_0001);
const DATAGRAM = { bytes: Buffer.from('..hello'), off: 2, len: 5, peer: undefined };

describe('proxy/agent/udp-channels', () => {
  let counts: Counters<UdpChannelCount>;
  let channels: UdpChannels;
  let host: Socket;
  let client: Socket;

  const open = (options: Partial<UdpChannelOptions> = {}): void => {
    const clock = { now: () => 0 };
    const booked = { book: flowBook(), publication: '1' };
    const deps = { clock, peers: { current: undefined }, counts, ...booked };
    const target = { proto: 'udp', address: LOOPBACK, port: 53 } as const;
    const spec = {
      protocol: 'udp',
      hostAddress: LOOPBACK,
      hostPort: 0,
      guestAddress: undefined,
      guestPort: 53,
    } as const;
    channels = new UdpChannels(deps, spec, target, false, { ...UDP_CHANNEL_DEFAULTS, ...options });
  };

  /** The client, as seen by a socket of the host. */
  const peer = (): FrontPeer => {
    const { address, port } = client.address();
    const sender = { onSent: (): void => {}, onInterrupted: (): void => {} };
    const outbox = new Outbox(new Outboxes(() => undefined), { fd: -1, socket: host }, sender);
    const target = hostTarget(address, port, 4);
    const setReading = (): void => {};
    return { address, port, target, outbox, host: { socket: host, family: 4, fd: -1, setReading } };
  };

  beforeEach(async () => {
    counts = new Counters();
    [host, client] = [createSocket('udp4'), createSocket('udp4')];
    for (const socket of [host, client]) {
      socket.bind(0, '127.0.0.1');
      await once(socket, 'listening');
    }
  });
  afterEach(() => {
    channels.stop();
    for (const socket of [host, client]) {
      try {
        socket.close();
      } catch {
        // closed by the test
      }
    }
  });

  it('an answer leaves from the socket that its client sent to', async () => {
    open();
    const received = once(client, 'message');
    channels.transmit(DATAGRAM, peer());
    const [bytes, from] = await received;
    assert.deepEqual([String(bytes), from.port], ['hello', host.address().port]);
  });

  it('an answer to a client of an address that the host has lost is counted, and ends nothing', () => {
    open({ inFlightBytes: DATAGRAM.len });
    const to = peer();
    host.close();
    for (let i = 0; i < 3; i++) channels.transmit(DATAGRAM, to);
    assert.deepEqual(counts.snapshot(), { 'send-failed': 3 });
  });

  it('answers beyond what one port may have queued are dropped and counted', () => {
    open({ inFlightBytes: DATAGRAM.len });
    const to = peer();
    channels.transmit(DATAGRAM, to);
    channels.transmit(DATAGRAM, to);
    assert.deepEqual(counts.snapshot(), { 'in-flight-limit': 1 });
  });

  it('without an agent a datagram is dropped and counted', async () => {
    open();
    client.send('hello', channels.hostPort, '127.0.0.1');
    while (counts.get('no-agent') === 0) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(channels.active, 0);
  });
});
