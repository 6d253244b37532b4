import { Counters } from '../base/counters.ts';
import { NO_BYTES } from '../base/no-bytes.ts';

export type LinkDrop =
  /** An impossible length prefix: the stream is out of sync, its link is closed. */
  | 'bad-frame-length'
  /** From a program: not an array of bytes. */
  | 'not-bytes'
  /** A link refused because the segment's table of links is full. */
  | 'too-many-links'
  /** From a TAP, packet socket, message socket or virtual card: shorter than its headers. */
  | 'runt-frame'
  /** From a virtual card or a message socket: longer than any frame. */
  | 'oversized-frame'
  /** From a TAP, packet socket or virtual card: an invalid virtio-net header, or a segmentation type that was never offered. */
  | 'bad-offload'
  /** The kernel's queue towards the guest was full. */
  | 'guest-queue-full'
  /** Frames of a program, or of a machine that cannot keep them, which come faster than they are processed. */
  | 'host-queue-full'
  /** The kernel refused a frame for another reason: interface down, bad size. */
  | 'write-failed'
  /** The buffers that the guest lent its virtual card hold less than the frame. */
  | 'guest-buffer-too-small'
  /** From a socket that is not the guest's, or has no name to answer to. */
  | 'foreign-sender'
  /** Over a connection that is to pass one connected message socket. */
  | 'bad-descriptor'
  /** For a connection that has sent nothing yet, where it is to speak first. */
  | 'guest-not-heard'
  /** A client that did not finish the handshake in time, or gave way to others that are at it. */
  | 'handshake-unfinished'
  /** A client of another protocol or version, or one that was refused by name. */
  | 'handshake-refused'
  /** The guest broke a ring of its virtual card, which is dead until its driver restarts. */
  | 'queue-fault';

/** Counters of everything that came through one `--listen`. */
export class LinkStats {
  framesToHost = 0;
  bytesToHost: number = NO_BYTES;
  framesToGuest = 0;
  bytesToGuest: number = NO_BYTES;
  /** How often the stack had to wait because all buffers towards the guest were in use. */
  stalls = 0;
  /** Links attached now, and in total. */
  linksOpen = 0;
  linksOpened = 0;
  readonly drops: Counters<LinkDrop> = new Counters<LinkDrop>();
}
