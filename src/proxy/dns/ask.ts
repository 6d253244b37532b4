/**
 * One attempt at one upstream. Each has a socket of its own, hence a random port chosen by the system,
 * and a random id (RFC 5452 §4): an attacker must guess both. Sockets are connected, so that they receive from the
 * upstream only and a refusal is reported at once.
 */
import { randomInt } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { reportFault } from '../../base/faults.ts';
import { errorCode } from '../../native/errors.ts';
import { answers, dnsId } from '../../services/dns/message.ts';
import type { DnsUpstream } from '../../services/dns/resolv-conf.ts';
import { withId } from '../../services/dns/surgery.ts';
import { DnsTcpReader, frameDnsMessage } from '../../services/dns/tcp-framing.ts';
import { ConnectedSocket } from '../udp/connected-socket.ts';

const MAX_MESSAGE_LEN = 65_535;

/** Exactly one of the two is called, once, unless the attempt is cancelled before. */
export interface AskEvents {
  /** @param reply with the id of the query as it was given */
  onReply(reply: Uint8Array): void;
  /** The upstream cannot be reached or closed the connection. */
  onFailure(why: string): void;
}

export type Cancel = () => void;

export function askUdp(upstream: DnsUpstream, query: Uint8Array, events: AskEvents): Cancel {
  const sent = withId(query, randomInt(0x1_0000));
  const socket = new ConnectedSocket(upstream.address, upstream.port, {
    onMessage: (bytes) => {
      // Not ours: late, forged or garbled. The right one may still come.
      if (!answers(sent, bytes)) return;
      socket.close();
      events.onReply(withId(bytes, dnsId(query)));
    },
    onFailure: (code) => {
      socket.close();
      events.onFailure(code);
    },
  });
  socket.send(sent);
  return () => socket.close();
}

export function askTcp(upstream: DnsUpstream, query: Uint8Array, events: AskEvents): Cancel {
  const { address: host, port } = upstream;
  return askOn(connect({ host, port, noDelay: true }), query, events);
}

/** @param socket the query's own from now on */
export function askOn(socket: Socket, query: Uint8Array, events: AskEvents): Cancel {
  const sent = withId(query, randomInt(0x1_0000));
  let open = true;
  const close = (): void => {
    open = false;
    socket.destroy();
  };
  const fail = (why: string): void => {
    if (!open) return;
    close();
    events.onFailure(why);
  };
  const reader = new DnsTcpReader(MAX_MESSAGE_LEN, (bytes) => {
    if (!open || !answers(sent, bytes)) return;
    close();
    events.onReply(withId(bytes, dnsId(query)));
  });
  socket.on('error', (error) => fail(errorCode(error)));
  socket.on('end', () => fail('closed before the answer'));
  socket.on('data', (bytes) => {
    try {
      const problem = open ? reader.push(bytes) : undefined;
      if (problem !== undefined) fail(problem);
    } catch (fault) {
      reportFault('dns', fault);
      fail('fault');
    }
  });
  socket.write(frameDnsMessage(sent));
  return close;
}
