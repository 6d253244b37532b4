import { ConnectHandshake } from './connect-handshake.ts';
import type { Handshake } from './handshake.ts';
import type { ProxyServer, ProxyTarget } from './proxy-server.ts';
import { Socks5Handshake } from './socks5.ts';

/** By which `server` is asked for a connection to `target`. */
export const openHandshake = (
  { scheme, credentials }: ProxyServer,
  target: ProxyTarget,
): Handshake =>
  scheme === 'http'
    ? new ConnectHandshake(target, credentials)
    : new Socks5Handshake(target, credentials);
