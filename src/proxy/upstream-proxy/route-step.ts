/** Where a flow goes on, once it is known where it wants to go. */
import type { ProxyServer, ProxyTarget } from '../../services/upstream-proxy/proxy-server.ts';
import type { NameCheck } from '../inspect/name-check.ts';

export type RouteStep =
  | { readonly kind: 'proxy'; readonly server: ProxyServer; readonly target: ProxyTarget }
  | { readonly kind: 'direct'; readonly address: string; readonly port: number }
  | { readonly kind: 'denied'; readonly why: string }
  /** There is no way to it. */
  | { readonly kind: 'failed'; readonly why: string };

export type ProxiedCount =
  /** Connections that a proxy has granted, and that went without it. */
  | 'connected'
  | 'direct'
  /** Of the first, those that were asked for by address. */
  | 'unnamed'
  | 'refused'
  | 'failed'
  /** Nothing has answered in time. */
  | 'timed-out'
  | 'denied'
  | 'http-requests'
  | 'http-errors'
  | 'upgrades'
  | 'explicit';

/** Whose requests they are. */
export interface RelayClient {
  /** It knows that it talks to a proxy: requests are in absolute form. */
  readonly isExplicit: boolean;
  /** @param host in lower case; undefined: the request does not say */
  stepOf(host: string | undefined, port: number): RouteStep | Promise<RouteStep>;
  /** What is stated inside a tunnel for `host`, where that has to be the same; of an explicit client. */
  checkIn?(host: string, port: number): NameCheck | undefined;
}
