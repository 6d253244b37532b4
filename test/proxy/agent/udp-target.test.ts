import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { ipv4 } from '../../../src/base/ip-address.ts';
import { SILENT } from '../../../src/base/log.ts';
import { Budget } from '../../../src/base/shares/budget.ts';
import { DatagramChannel, makeDatagramScratch } from '../../../src/mux/udp-encapsulation.ts';
import { type DialerCount, TargetDialer } from '../../../src/proxy/agent/target-dialer.ts';
import { Pair } from '../../mux/pair.ts';
import { flowBook, until } from '../recording.ts';

const LOOPBACK = ipv4(0x7f00_0001);

describe('proxy/agent/udp-target', () => {
  let server: Socket;
  let sockets: Budget;
  let dialer: TargetDialer;
  let pair: Pair;

  beforeEach(async () => {
    server = createSocket('udp4');
    server.bind(0, '127.0.0.1');
    await once(server, 'listening');
    sockets = new Budget('sockets', 1);
    const clock = { now: () => pair.now, wakeAt: () => {} };
    const isAllowed = (): boolean => true;
    dialer = new TargetDialer({ clock, log: SILENT, book: flowBook(), isAllowed, sockets });
    pair = new Pair();
    pair.guest.answer = (now, request) => dialer.onRequest(now, request, 'link');
    pair.run();
  });
  afterEach(() => {
    dialer.close();
    pair.guest.mux.onLinkDown(pair.now);
    server.close();
  });

  const channelTo = (port: number): DatagramChannel => {
    const { channel } = pair.open({ proto: 'udp', address: LOOPBACK, port });
    return new DatagramChannel(channel, makeDatagramScratch());
  };
  const send = (channel: DatagramChannel, len: number, clientPort = 0): void => {
    const client = clientPort === 0 ? undefined : { address: LOOPBACK, port: clientPort };
    channel.send(pair.now, client, new Uint8Array(len), 0, len);
    pair.run();
  };
  const count = (name: DialerCount): number => dialer.counts.get(name);

  it('counts a datagram for which there is no socket', () => {
    sockets.host.take();
    send(channelTo(server.address().port), 100);
    assert.equal(count('udp-no-socket'), 1);
  });

  it('counts one that the system refuses', async () => {
    send(channelTo(server.address().port), 65_520 - 8);
    await until(() => count('udp-send-failed') === 1);
  });

  it('counts answers for which the channel has no room', async () => {
    const channel = channelTo(server.address().port);
    send(channel, 1);
    const [, client] = await once(server, 'message');
    const large = Buffer.alloc(60_000);
    for (let i = 0; count('udp-channel-full') === 0; i++) {
      assert.ok(i < 1_000);
      server.send(large, client.port, client.address);
      await new Promise(setImmediate);
    }
  });
});
