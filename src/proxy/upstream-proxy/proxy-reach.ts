/** Whether upstream proxies can be reached: told when that changes, and shown while one cannot. */
import type { Log } from '../../base/log.ts';
import { type ProxyServer, proxyText } from '../../services/upstream-proxy/proxy-server.ts';

export class ProxyReach {
  private readonly log: Log;
  /** Why not, by proxy. */
  private readonly missing = new Map<string, string>();

  constructor(log: Log) {
    this.log = log;
  }

  /** A sentence, while something is wrong. */
  get problem(): string | undefined {
    for (const [proxy, why] of this.missing) {
      return `The upstream proxy ${proxy} cannot be reached (${why}): what guests send there is refused.`;
    }
    return undefined;
  }

  found(server: ProxyServer): void {
    if (this.missing.size === 0) return;
    const proxy = proxyText(server);
    if (this.missing.delete(proxy)) this.log.info({ proxy }, 'an upstream proxy is reached again');
  }

  missed(server: ProxyServer, reason: string): void {
    const proxy = proxyText(server);
    const isNew = !this.missing.has(proxy);
    this.missing.set(proxy, reason);
    if (isNew) this.log.warn({ proxy, reason }, 'an upstream proxy cannot be reached');
  }

  /** Others are in use now. */
  clear(): void {
    this.missing.clear();
  }
}
