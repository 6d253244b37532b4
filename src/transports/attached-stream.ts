/** A guest on a stream that the embedding program has: a child's descriptor, a connection, any Node stream. */
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type StreamOverDuplex, streamOverDuplex } from '../native/stream/stream-over-duplex.ts';
import type { Framing } from './framing.ts';
import { type LinkContext, LinkError, type OpenLink } from './link-context.ts';
import { LinkStats } from './link-stats.ts';
import { SocketLink } from './socket-link.ts';

export class AttachedStream implements OpenLink {
  readonly description: string;
  readonly stats: LinkStats = new LinkStats();
  readonly closed: Promise<void>;
  private readonly link: SocketLink;

  /**
   * @param duplex it belongs to the link from now on
   * @throws LinkError when it is not a stream of bytes, or there are too many links
   */
  constructor(duplex: Duplex, framing: Framing, description: string, context: LinkContext) {
    this.description = description;
    const { stream, received } = openStream(duplex, description);
    let onDown = (): void => {};
    this.closed = new Promise((resolve) => {
      onDown = resolve;
    });
    const ended = (): void => onDown();
    // The program itself brings it: each is a listener of its own.
    this.link = new SocketLink(
      description,
      framing,
      stream,
      context,
      this.stats,
      ended,
      description,
    );
    if (!this.link.start(received))
      throw new LinkError(`cannot attach ${description}: too many links`);
  }

  close(): Promise<void> {
    this.link.close();
    return this.closed;
  }
}

function openStream(duplex: Duplex, description: string): StreamOverDuplex {
  const { readable, writable, readableObjectMode, readableEncoding } = duplex;
  if (!readable || !writable) {
    throw new LinkError(`cannot attach ${description}: it must be readable and writable`);
  }
  if (readableObjectMode || readableEncoding !== null) {
    throw new LinkError(`cannot attach ${description}: it must be a stream of bytes, not of text`);
  }
  return streamOverDuplex(duplex);
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
