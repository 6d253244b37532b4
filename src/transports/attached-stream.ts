/** A guest on a stream that somebody else has made: the embedding program, or whoever started this one. */
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { giveStreamBack, takeStream } from '../native/stream/program-streams.ts';
import { type StreamOverDuplex, streamOverDuplex } from '../native/stream/stream-over-duplex.ts';
import type { Framing } from './framing.ts';
import { type LinkContext, LinkError, type OpenLink } from './link-context.ts';
import { LinkStats } from './link-stats.ts';
import { SocketLink } from './socket-link.ts';

export interface ProgramStream extends StreamOverDuplex {
  /** What the program has given, if it is one stream of it. */
  readonly duplex?: Duplex;
}

export class AttachedStream implements OpenLink {
  readonly description: string;
  readonly stats: LinkStats = new LinkStats();
  readonly closed: Promise<void>;
  private readonly link: SocketLink;

  /**
   * @param source it belongs to the link from now on
   * @param listener what it came by; see `LinkAcceptor`. By default it is one of its own, as the program itself brings it
   * @throws LinkError when there are too many links: the stream is closed, and belongs to no link
   */
  constructor(
    { stream, received, duplex }: ProgramStream,
    framing: Framing,
    description: string,
    context: LinkContext,
    listener: string = description,
  ) {
    this.description = description;
    let onDown = (): void => {};
    this.closed = new Promise((resolve) => {
      onDown = resolve;
    });
    const ended = (): void => onDown();
    this.link = new SocketLink(description, framing, stream, context, this.stats, ended, listener);
    if (this.link.start({ early: received })) return;
    if (duplex !== undefined) giveStreamBack(duplex);
    throw new LinkError(`cannot attach ${description}: too many links`);
  }

  close(): Promise<void> {
    this.link.close();
    return this.closed;
  }
}

/**
 * A program's stream, as links use it.
 *
 * @throws LinkError when it is not a stream of bytes, or is in use already
 */
export function streamOf(duplex: Duplex, description: string): ProgramStream {
  const problem = takeStream(duplex);
  if (problem !== undefined) throw new LinkError(`cannot attach ${description}: ${problem}`);
  return { ...streamOverDuplex(duplex), duplex };
}

/**
 * A stream over a descriptor that this process inherited, or was handed.
 *
 * @throws LinkError when it is not the descriptor of a stream socket
 */
export function socketOfDescriptor(fd: number, description: string): Socket {
  try {
    return new Socket({ fd, readable: true, writable: true, allowHalfOpen: true });
  } catch (cause) {
    const why = `descriptor ${fd} is not that of a connected stream socket`;
    throw new LinkError(`cannot attach ${description}: ${why}`, { cause });
  }
}
