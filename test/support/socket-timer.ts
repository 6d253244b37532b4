/** What the kernel's table of TCP sockets says of one of them (proc_net_tcp). */
import { readFileSync } from 'node:fs';

/** Field `tr`. */
const TIMERS = ['none', 'retransmit', 'keepalive', 'time-wait', 'probe'] as const;
const HZ = 100;

export interface SocketTimer {
  readonly timer: (typeof TIMERS)[number] | 'other';
  readonly dueS: number;
}

/** @returns undefined where there is no established IPv4 socket with these ports, or no such table */
export function socketTimer(localPort: number, remotePort: number): SocketTimer | undefined {
  const hex = (port: number): string => port.toString(16).toUpperCase().padStart(4, '0');
  for (const file of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of readFileSync(file, 'latin1').split('\n')) {
      const [, local = '', remote = '', state, , timer = ''] = line.trim().split(/\s+/);
      if (state !== '01' || !local.endsWith(`:${hex(localPort)}`)) continue;
      if (!remote.endsWith(`:${hex(remotePort)}`)) continue;
      const [kind = '', when = ''] = timer.split(':');
      const dueS = Number.parseInt(when, 16) / HZ;
      return { timer: TIMERS[Number.parseInt(kind, 16)] ?? 'other', dueS };
    }
  }
  return undefined;
}
