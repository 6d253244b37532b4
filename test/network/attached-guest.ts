/** Guests for networks that take links: a simulated one behind any of them, in this process. */
import assert from 'node:assert/strict';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { SILENT } from '../../src/base/log.ts';
import { SimulatedGuest } from '../../src/lab/guest/simulated-guest.ts';
import type { LinkAcceptor } from '../../src/stack/link.ts';
import { AttachedStream, streamOf } from '../../src/transports/attached-stream.ts';
import { type Framing, QEMU_FRAMING } from '../../src/transports/framing.ts';
import type { LinkContext, OpenLink } from '../../src/transports/link-context.ts';
import { NodeClock } from '../../src/transports/node-clock.ts';
import { ANY_ADDRESS } from '../support/any-address.ts';
import { ownTurns } from '../support/turns.ts';

export interface GuestBehind {
  readonly guest: SimulatedGuest;
  /** Its end of the link. */
  readonly link: OpenLink;
}

/** @param attach puts the guest's end of the link into service */
export function guestBehind(attach: (context: LinkContext) => OpenLink): GuestBehind {
  const guest = new SimulatedGuest();
  let link: OpenLink | undefined;
  guest.attach({
    attachSegment: (acceptor: LinkAcceptor) => {
      link = attach({
        acceptor,
        clock: new NodeClock(),
        log: SILENT,
        turns: ownTurns(),
        mtu: 1_500,
        socketMode: 0o600,
        vhostMemory: 'sealed',
        addresses: ANY_ADDRESS,
        wsOrigins: [],
      });
    },
    attachPacketSocket: () => {},
  });
  assert.ok(link !== undefined);
  return { guest, link };
}

export const guestOnStream = (stream: Duplex, framing: Framing = QEMU_FRAMING): GuestBehind =>
  guestBehind(
    (context) => new AttachedStream(streamOf(stream, 'guest'), framing, 'guest', context),
  );

/** Two ends of a connection, and the server that made it. */
export interface SocketPair {
  readonly ends: readonly [Socket, Socket];
  readonly server: Server;
}

/** @param where a path, or undefined for TCP */
export async function socketPair(where: string | undefined): Promise<SocketPair> {
  const server = createServer();
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  await new Promise<void>((resolve) => {
    if (where === undefined) server.listen(0, '127.0.0.1', resolve);
    else server.listen(where, resolve);
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const socket = where === undefined ? connect(port, '127.0.0.1') : connect(where);
  return { ends: [socket, await accepted], server };
}

/** Two ends of a pipe in this process, with no socket below. */
export function duplexPair(): readonly [Duplex, Duplex] {
  const end = (peer: () => Duplex): Duplex =>
    new Duplex({
      read() {},
      write(chunk: Uint8Array, _encoding, done) {
        const copy = Buffer.from(chunk);
        setImmediate(() => {
          peer().push(copy);
          done();
        });
      },
      final(done) {
        peer().push(null);
        done();
      },
      destroy(error, done) {
        setImmediate(() => peer().destroy());
        done(error);
      },
    });
  const one: Duplex = end(() => other);
  const other: Duplex = end(() => one);
  return [one, other];
}
