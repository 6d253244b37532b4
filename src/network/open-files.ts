/**
 * The allocation of the descriptors that this process may open. Each connection of a guest is a socket here: a guest
 * that opens as many as it can must leave some for the control API, the resolver and published ports.
 */
import { readFileSync } from 'node:fs';
import { UDP_NAT_DEFAULTS } from '../proxy/udp/udp-nat.ts';
import { DEFAULT_TCP_CONFIG } from '../stack/tcp/config.ts';

export interface FlowLimits {
  /** TCP connections of guests, and of clients to them, including pending ones. */
  readonly connections: number;
  /** The maximum of these that may be pending. */
  readonly requests: number;
  /** UDP sockets. */
  readonly bindings: number;
}

/** @param openFiles the limit of this process; infinite where it is not known */
export const flowLimits = (openFiles: number): FlowLimits => ({
  connections: Math.min(DEFAULT_TCP_CONFIG.maxConnections, share(openFiles, 2)),
  requests: Math.min(DEFAULT_TCP_CONFIG.maxRequests, share(openFiles, 8)),
  bindings: Math.min(UDP_NAT_DEFAULTS.bindings, share(openFiles, 8)),
});

const share = (openFiles: number, part: number): number =>
  Math.max(Math.floor(openFiles / part), 1);

/** The current limit: Node has raised it to the hard limit. */
export function openFilesLimit(file = '/proc/self/limits'): number {
  try {
    const soft = /^Max open files +(\d+) /m.exec(readFileSync(file, 'latin1'))?.[1];
    return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
  } catch {
    return Number.POSITIVE_INFINITY; // not Linux
  }
}
