/**
 * The servers to ask, in order: as configured, but servers that recently did not answer
 * are moved to the end until they answer, or for a limited time. None is ever left out.
 */
import type { Instant } from '../../base/time.ts';
import type { DnsUpstream } from '../../services/dns/resolv-conf.ts';
import { TlsUpstream } from './tls-upstream.ts';

const AVOID_MS = 30_000;

export class UpstreamState {
  readonly server: DnsUpstream;
  /** Undefined: it is asked in the clear. */
  readonly tls: TlsUpstream | undefined;
  avoidUntil: Instant = 0;

  constructor(server: DnsUpstream, authorities: string | undefined) {
    this.server = server;
    const { tlsName } = server;
    this.tls = tlsName === undefined ? undefined : new TlsUpstream(server, tlsName, authorities);
  }

  onAnswer(): void {
    this.avoidUntil = 0;
  }

  onSilence(now: Instant): void {
    this.avoidUntil = now + AVOID_MS;
  }
}

export class Upstreams {
  private states: readonly UpstreamState[] = [];
  private turn = 0;
  private readonly authorities: string | undefined;

  constructor(authorities?: string) {
    this.authorities = authorities;
  }

  get servers(): readonly DnsUpstream[] {
    return this.states.map((state) => state.server);
  }

  replace(servers: readonly DnsUpstream[]): void {
    this.close();
    this.states = servers.map((server) => new UpstreamState(server, this.authorities));
  }

  close(): void {
    for (const { tls } of this.states) tls?.close();
  }

  /** @param rotate start with the next server each time, among those that are not avoided */
  inOrder(now: Instant, rotate = false): readonly UpstreamState[] {
    const avoided = (state: UpstreamState): number => (state.avoidUntil > now ? 1 : 0);
    const first = rotate && this.states.length > 0 ? this.turn++ % this.states.length : 0;
    const turned = [...this.states.slice(first), ...this.states.slice(0, first)];
    return turned.sort((a, b) => avoided(a) - avoided(b)); // stable
  }
}
