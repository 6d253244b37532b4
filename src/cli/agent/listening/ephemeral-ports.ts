/** The ports that the kernel gives to sockets that want any: of clients, not of servers. */
import { readFileSync } from 'node:fs';

const PATH = '/proc/sys/net/ipv4/ip_local_port_range';
const DEFAULT = { first: 32_768, last: 60_999 } as const;

export class EphemeralPorts {
  private range: { readonly first: number; readonly last: number } | undefined = undefined;
  private readonly path: string;

  constructor(path: string = PATH) {
    this.path = path;
  }

  includes(port: number): boolean {
    this.range ??= this.read();
    return port >= this.range.first && port <= this.range.last;
  }

  private read(): { readonly first: number; readonly last: number } {
    try {
      const [first = 0, last = 0] = readFileSync(this.path, 'latin1')
        .trim()
        .split(/\s+/)
        .map(Number);
      return first > 0 && last >= first ? { first, last } : DEFAULT;
    } catch {
      return DEFAULT;
    }
  }
}
