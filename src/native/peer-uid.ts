import * as n from './constants.ts';
import type { Libc } from './libc.ts';

const UCRED_LEN = 12;
const UID = 4;

/** The user of the process at the other end of a Unix socket (SO_PEERCRED, unix(7)); undefined for another socket. */
export function peerUid(c: Libc, fd: number): number | undefined {
  const credentials = new DataView(new ArrayBuffer(UCRED_LEN));
  const len = new Uint8Array(Int32Array.of(UCRED_LEN).buffer);
  const value = new Uint8Array(credentials.buffer);
  if (c.getsockopt(fd, n.SOL_SOCKET, n.SO_PEERCRED, value, len) < 0) return undefined;
  const uid = credentials.getInt32(UID, true);
  return uid < 0 ? undefined : uid; // -1: it has no peer, or none with credentials
}
