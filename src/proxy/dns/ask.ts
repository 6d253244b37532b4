/**
 * One attempt at one upstream. Each has a socket of its own, so a port of the system's random choice,
 * and an id of ours (RFC 5452 §4): a forger must guess both. Sockets are connected, so that only the
 * upstream is heard and a refusal is learned at once.
 */
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import { answers, dnsId } from '../../services/dns/message.ts';
import type { DnsUpstream } from '../../services/dns/resolv-conf.ts';
import { withId } from '../../services/dns/surgery.ts';
import { DnsTcpReader, frameDnsMessage } from '../../services/dns/tcp-framing.ts';

const MAX_MESSAGE_LEN = 65_535;

/** Exactly one of the two is called, once, unless the attempt is cancelled before. */
export interface AskEvents {
  /** @param reply with the id of the query as it was given */
  onReply(reply: Uint8Array): void;
  /** The upstream cannot be reached or broke off. */
  onFailure(cause: Error): void;
}

export type Cancel = () => void;

export function askUdp(upstream: DnsUpstream, query: Uint8Array, events: AskEvents): Cancel {
  const sent = withId(query, randomInt(0x1_0000));
  const socket = createSocket(isIPv6(upstream.address) ? 'udp6' : 'udp4');
  let open = true;
  const close = (): void => {
    if (!open) return;
    open = false;
    socket.close();
  };
  const fail = (cause: Error): void => {
    if (!open) return;
    close();
    events.onFailure(cause);
  };
  socket.on('error', fail); // also what ICMP said: ECONNREFUSED
  socket.on('message', (bytes) => {
    // Not ours: late, forged or garbled. The right one may still come.
    if (!open || !answers(sent, bytes)) return;
    close();
    events.onReply(withId(bytes, dnsId(query)));
  });
  socket.connect(upstream.port, upstream.address, () => {
    if (!open) return;
    // Without a callback Node keeps send errors to itself.
    socket.send(sent, (cause) => {
      if (cause !== null) fail(cause);
    });
  });
  return close;
}

export function askTcp(upstream: DnsUpstream, query: Uint8Array, events: AskEvents): Cancel {
  const sent = withId(query, randomInt(0x1_0000));
  const socket = connect({ host: upstream.address, port: upstream.port, noDelay: true });
  let open = true;
  const close = (): void => {
    open = false;
    socket.destroy();
  };
  const fail = (cause: Error): void => {
    if (!open) return;
    close();
    events.onFailure(cause);
  };
  const reader = new DnsTcpReader(MAX_MESSAGE_LEN, (bytes) => {
    if (!open || !answers(sent, bytes)) return;
    close();
    events.onReply(withId(bytes, dnsId(query)));
  });
  socket.on('error', fail);
  socket.on('end', () => fail(new Error('closed before the answer')));
  socket.on('data', (bytes) => {
    const problem = open ? reader.push(bytes) : undefined;
    if (problem !== undefined) fail(new Error(problem));
  });
  socket.write(frameDnsMessage(sent));
  return close;
}
