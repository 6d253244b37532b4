/**
 * `stdio`: a guest whose frames come by standard input and go by standard output, as gvforwarder has it. Nothing else of
 * this process is written there: the log goes to standard error, readiness to a descriptor of its own.
 */
import { Socket } from 'node:net';
import { PairStream } from '../native/stream/pair-stream.ts';
import { streamOverSocket } from '../native/stream/stream-over-socket.ts';
import { AttachedStream } from './attached-stream.ts';
import { VPNKIT_FRAMING } from './framing.ts';
import { InheritedLink } from './inherited-link.ts';
import { type LinkContext, LinkError, type OpenLink } from './link-context.ts';

const STDIN = 0;
const STDOUT = 1;
const NOTHING = new Uint8Array(0);

/** @throws LinkError unless both are pipes or sockets */
export function openStdioLink(context: LinkContext): OpenLink {
  const reading = streamOverSocket(oneWay(STDIN, 'standard input'));
  const writing = streamOverSocket(oneWay(STDOUT, 'standard output'));
  const source = { stream: new PairStream(reading, writing), received: NOTHING };
  return new InheritedLink(new AttachedStream(source, VPNKIT_FRAMING, 'stdio', context));
}

function oneWay(fd: number, what: string): Socket {
  try {
    return new Socket({ fd, readable: fd === STDIN, writable: fd === STDOUT });
  } catch (cause) {
    const why = `${what} must be a pipe or a socket, to what carries the guest's frames`;
    throw new LinkError(`cannot attach stdio: ${why}`, { cause });
  }
}
