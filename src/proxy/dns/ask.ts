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

export const MAX_MESSAGE_LEN = 65_535;

/** Exactly one of the two is called, once, unless the attempt is cancelled before. */
export interface AskEvents {
  /** @param reply with the id of the query as it was given */
  onReply(reply: Uint8Array): void;
  /** The upstream cannot be reached or closed the connection. */
  onFailure(why: string): void;
}

export type Cancel = () => void;

/**
 * Opens a connection to an upstream by another way than the host's own.
 *
 * @param opened called at most once, never before the return: with the connection, or why there is none
 */
export type Dial = (upstream: DnsUpstream, opened: (got: Socket | string) => void) => Cancel;

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

export function askOver(
  dial: Dial,
  upstream: DnsUpstream,
  query: Uint8Array,
  events: AskEvents,
): Cancel {
  let close: Cancel = () => {};
  const giveUp = dial(upstream, (got) => {
    if (typeof got === 'string') events.onFailure(got);
    else close = askOn(got, query, events);
  });
  return () => {
    giveUp();
    close();
  };
}

/** @param socket the query's own from now on */
function askOn(socket: Socket, query: Uint8Array, events: AskEvents): Cancel {
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
