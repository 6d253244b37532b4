/** The ends of sockets without a peer, in this network namespace, by the multicast groups of sock_diag(7). */
import { NETLINK_SOCK_DIAG, SOURCE_PORT, viewOf } from './bound-sockets.ts';
import {
  AF_NETLINK,
  EAGAIN,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_SOCKET,
} from './constants.ts';
import { PosixError } from './errors.ts';
import type { Libc } from './libc.ts';
import type { Posix } from './posix.ts';
import { type Watch, watchReadable } from './watch.ts';

/** Bits of SKNLGRP_INET_TCP_DESTROY, INET_UDP, INET6_TCP and INET6_UDP. */
const GROUPS_OF_ENDS = 0b1111;
const SOCKADDR_NL_LEN = 12;
const SO_ATTACH_FILTER = 26;
const PEER_PORT = 22;
/** A socket filter (BPF): messages about sockets without a peer pass, so that connections wake nobody. */
const FILTER = [
  [0x28, 0, 0, PEER_PORT], // load the half-word there
  [0x15, 0, 1, 0], // 0: go on, else skip one
  [0x06, 0, 0, 0xffff_ffff], // take all
  [0x06, 0, 0, 0], // take nothing
] as const;
const INSTRUCTION_LEN = 8;
/** Arrays above 64 bytes never move. */
const FILTER_ROOM = 128;
const PROGRAM_LEN = 16;
const ENDS_MAX = 64;
/** Of one message; the kernel cuts off what does not fit. */
const MESSAGE_ROOM = 512;
/** After some were read: where many sockets end, they wake nobody more often than that. */
const REST_MS = 100;

/** See `Posix.openSocketEnds`. */
export function openSocketEnds(c: Libc): number {
  const fd = c.socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (fd < 0) throw new PosixError('cannot open a socket for diagnosis', c.errno());
  const address = new DataView(new ArrayBuffer(SOCKADDR_NL_LEN));
  address.setUint16(0, AF_NETLINK, true);
  address.setUint32(8, GROUPS_OF_ENDS, true);
  const { program, instructions } = filterProgram(c);
  const isFiltered = c.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, program, PROGRAM_LEN) === 0;
  const isBound = isFiltered && c.bind(fd, new Uint8Array(address.buffer), SOCKADDR_NL_LEN) === 0;
  if (isBound && instructions.length > 0) return fd; // referenced until here: the kernel has copied them
  const error = new PosixError('cannot listen for the ends of sockets', c.errno());
  c.close(fd);
  throw error;
}

function filterProgram(c: Libc): { program: Uint8Array; instructions: Uint8Array } {
  const instructions = new Uint8Array(FILTER_ROOM);
  const view = viewOf(instructions);
  for (const [i, [code, whenTrue, whenFalse, value]] of FILTER.entries()) {
    const at = i * INSTRUCTION_LEN;
    view.setUint16(at, code, true);
    view.setUint8(at + 2, whenTrue);
    view.setUint8(at + 3, whenFalse);
    view.setUint32(at + 4, value, true);
  }
  const program = new Uint8Array(PROGRAM_LEN);
  viewOf(program).setUint16(0, FILTER.length, true);
  viewOf(program).setBigUint64(8, c.address(instructions), true);
  return { program, instructions };
}

/**
 * Call `onEnd` with the port of each socket without a peer that is gone; with 0 when some were missed. Nothing here keeps
 * the process up.
 *
 * @throws PosixError, NativeUnavailableError
 */
export function watchSocketEnds(posix: Posix, onEnd: (port: number) => void): Pick<Watch, 'close'> {
  const bytes = new Uint8Array(MESSAGE_ROOM);
  const view = viewOf(bytes);
  let timer: NodeJS.Timeout | undefined;
  const drain = (): boolean => {
    for (let i = 0; i < ENDS_MAX; i++) {
      const len = posix.read(watch.fd, bytes, 0, MESSAGE_ROOM);
      if (len === -EAGAIN) return i > 0;
      onEnd(len > PEER_PORT ? view.getUint16(SOURCE_PORT) : 0);
    }
    return true;
  };
  const rest = (): void => {
    timer = setTimeout(() => {
      if (drain()) rest();
      else watch.resume();
    }, REST_MS).unref();
  };
  const watch = watchReadable(posix.openSocketEnds(), () => {
    drain();
    watch.pause();
    rest();
  });
  watch.unref();
  return {
    close: () => {
      clearTimeout(timer);
      watch.close();
    },
  };
}
