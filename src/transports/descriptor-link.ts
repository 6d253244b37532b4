/** A guest on a descriptor that this process was started with, or was handed: `fd:`. */
import { fstatSync, type Stats } from 'node:fs';
import { isPollable } from '../native/adopt.ts';
import { loadPosix } from '../native/load.ts';
import { AttachedStream, socketOfDescriptor, streamOf } from './attached-stream.ts';
import { type Framing, STREAM_FRAMINGS } from './framing.ts';
import { InheritedLink } from './inherited-link.ts';
import { type EndingLink, type LinkContext, LinkError, type OpenLink } from './link-context.ts';
import type { DescriptorFramingName } from './link-spec.ts';
import { AttachedMessages } from './messages/attached-messages.ts';
import { openPacketLink } from './packet-link.ts';

/**
 * @param fd it belongs to the link from now on
 * @throws LinkError, NativeUnavailableError
 */
export function openDescriptorLink(
  fd: number,
  framing: Framing | 'packet' | 'packet-vnet',
  description: string,
  context: LinkContext,
): EndingLink {
  if (framing === 'packet' || framing === 'packet-vnet') checkPackets(fd, description);
  if (framing === 'packet-vnet') return openPacketLink(fd, true, description, context);
  if (framing === 'packet') {
    const posix = loadPosix(`open ${description}`);
    return posix.messageSockets.typeOf(fd) === undefined
      ? openPacketLink(fd, false, description, context)
      : new AttachedMessages(posix, fd, description, context);
  }
  const socket = socketOfDescriptor(fd, description);
  return new AttachedStream(streamOf(socket, description), framing, description, context);
}

/** @throws LinkError for what has no packets */
function checkPackets(fd: number, description: string): void {
  let stat: Stats;
  try {
    stat = fstatSync(fd);
  } catch (cause) {
    throw new LinkError(`cannot attach ${description}: descriptor ${fd} is not open`, { cause });
  }
  if (stat.isSocket() || (stat.isCharacterDevice() && isPollable(fd))) return;
  const why = `descriptor ${fd} is neither a socket nor a network device such as a TAP`;
  throw new LinkError(`cannot attach ${description}: ${why}`);
}

/** @throws LinkError, NativeUnavailableError */
export function openInheritedDescriptor(
  fd: number,
  named: DescriptorFramingName | undefined,
  context: LinkContext,
): OpenLink {
  const isSocket = isOpenSocket(fd);
  const framing = named ?? usualFraming(fd, isSocket);
  const description = `fd:${fd}:${framing}`;
  const how =
    framing === 'packet' || framing === 'packet-vnet' ? framing : STREAM_FRAMINGS[framing];
  return new InheritedLink(openDescriptorLink(fd, how, description, context));
}

/** @throws LinkError where it is not open */
function isOpenSocket(fd: number): boolean {
  try {
    return fstatSync(fd).isSocket();
  } catch (cause) {
    const why = `descriptor ${fd} is not open: whoever starts this has to hand it on, as in "... ${fd}<>..."`;
    throw new LinkError(`cannot attach fd:${fd}: ${why}`, { cause });
  }
}

/** By what the descriptor is of. */
function usualFraming(fd: number, isSocket: boolean): DescriptorFramingName {
  if (!isSocket) return 'packet';
  const type = loadPosix(`tell the type of fd:${fd}`, `name its framing: fd:${fd}:qemu`).socketType(
    fd,
  );
  return type === 'stream' ? 'qemu' : 'packet';
}
