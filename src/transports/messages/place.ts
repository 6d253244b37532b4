/** The path that a message socket is bound to: made by us, or inherited from a supervisor. */
import { rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { PosixError } from '../../native/errors.ts';
import { fileIdentity } from '../../native/file-identity.ts';
import { inheritedDescriptor } from '../../native/inherited-listeners.ts';
import type { MessageSocketType, Posix } from '../../native/posix.ts';
import { LinkError } from '../link-context.ts';
import { freePlace, inUse } from '../stream-server.ts';

/** systemd's words. */
const LISTENS: Readonly<Record<MessageSocketType, string>> = {
  dgram: 'ListenDatagram=',
  seqpacket: 'ListenSequentialPacket=',
};

export interface MessagePlace {
  readonly fd: number;
  /** Remove the path, unless it is a supervisor's, or another socket's by now. */
  remove(): void;
}

/** @throws LinkError, LinkInUseError */
export async function openPlace(
  type: MessageSocketType,
  path: string,
  mode: number,
  posix: Posix,
): Promise<MessagePlace> {
  const at = resolve(path);
  const inherited = inheritedDescriptor(at);
  if (inherited !== undefined) return inheritedPlace(type, at, inherited, posix);
  await freePlace(at);
  try {
    const fd = posix.messageSockets.open(type, at, mode);
    const made = fileIdentity(at);
    return { fd, remove: () => removeIfSame(at, made) };
  } catch (cause) {
    if (!(cause instanceof PosixError)) throw cause;
    if (cause.code === 'EADDRINUSE') throw inUse(at, cause);
    throw new LinkError(`cannot listen on ${path}: ${cause.code}`, { cause });
  }
}

function inheritedPlace(
  type: MessageSocketType,
  path: string,
  fd: number,
  posix: Posix,
): MessagePlace {
  if (posix.messageSockets.typeOf(fd) !== type) {
    const why = `the socket inherited for it is of another type: it needs ${LISTENS[type]} in the unit of its socket`;
    throw new LinkError(`cannot listen on ${path}: ${why}`);
  }
  return { fd, remove: () => {} };
}

function removeIfSame(path: string, identity: string | undefined): void {
  if (identity !== undefined && fileIdentity(path) === identity) rmSync(path, { force: true });
}
