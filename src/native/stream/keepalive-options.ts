/** Keepalive of sockets that Node creates; for others, see `keepalive.ts`. */

/** Idle time before a host socket is probed, in s. */
export const KEEPALIVE_DEFAULT_S = 120;
/** The maximum of TCP_KEEPIDLE. */
export const KEEPALIVE_MAX_S = 32_767;

/** For `net.createServer`, `http.createServer` and `net.connect`. @param idleS seconds; 0 for no keepalive */
export const keepaliveOptions = (
  idleS: number = KEEPALIVE_DEFAULT_S,
): { keepAlive: boolean; keepAliveInitialDelay: number } => ({
  keepAlive: idleS > 0,
  keepAliveInitialDelay: idleS * 1000,
});
