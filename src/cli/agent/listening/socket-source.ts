/** Where {@link ListeningWatch} reads the sockets that wait for peers. */
import type { BoundSocket } from '../../../native/posix.ts';

/** `same`: as before. `later`: something is other than before, and is read the next time. Undefined: it cannot be read. */
export type SocketsRead = readonly BoundSocket[] | 'same' | 'later' | undefined;

export interface SocketSource {
  read(): SocketsRead;
  close(): void;
  /** What follows is there where the kernel says what begins to listen. */
  readonly wakes?: SocketWakes;
}

export interface SocketWakes {
  /** In how many ms it is to be read again, if nobody wakes before. */
  readonly nextMs: number;
  /** Of a socket of the last read: it has listened long enough to count. */
  wasSeen(socket: BoundSocket): boolean;
  watch(onWake: () => void): { close(): void };
}
