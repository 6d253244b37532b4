/**
 * Keepalive (RFC 9293 §3.8.4) of the host's TCP sockets, dialled and accepted: a peer that has vanished does not
 * occupy a descriptor forever.
 *
 * A peer is given up after `PROBES` probes without an answer. With native calls they come an eighth of the
 * idle time apart, so that a short outage ends nothing; libuv alone sends them a second apart.
 */
import * as n from '../constants.ts';
import { loadedPosix } from '../load.ts';

/** The part in use of a libuv handle, of a connection or of a server. */
export interface KeepaliveHandle {
  /** Negative when it is closed, and on Windows. */
  readonly fd?: number;
  setKeepAlive?(on: boolean, delaySeconds: number): number;
}

const PROBES = 9;
const INTERVAL_MAX_S = 75;

/**
 * @param idleS seconds; 0 for no keepalive
 * @returns whether nothing is left to do; it is false before native calls are loaded
 */
export function setKeepalive(handle: KeepaliveHandle, idleS: number): boolean {
  if (idleS === 0 || handle.setKeepAlive === undefined) return true;
  handle.setKeepAlive(true, idleS);
  const posix = loadedPosix();
  const { fd = -1 } = handle;
  if (posix === undefined || fd < 0) return false;
  const intervalS = Math.max(1, Math.min(idleS >> 3, INTERVAL_MAX_S));
  try {
    posix.setSocketOption(fd, n.SOL_TCP, n.TCP_KEEPINTVL, intervalS);
    posix.setSocketOption(fd, n.SOL_TCP, n.TCP_KEEPCNT, PROBES);
  } catch {
    // The peer has gone, or libuv's own probes must suffice.
  }
  return true;
}
