/**
 * The servers to ask, in the order to ask them: as configured, but those that lately did not answer
 * come last until they do, or their time is over. None is ever left out.
 */
import type { Instant } from '../../base/time.ts';
import type { DnsUpstream } from '../../services/dns/resolv-conf.ts';

const AVOID_MS = 30_000;

export class UpstreamState {
  readonly server: DnsUpstream;
  avoidUntil: Instant = 0;

  constructor(server: DnsUpstream) {
    this.server = server;
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

  get servers(): readonly DnsUpstream[] {
    return this.states.map((state) => state.server);
  }

  replace(servers: readonly DnsUpstream[]): void {
    this.states = servers.map((server) => new UpstreamState(server));
  }

  inOrder(now: Instant): readonly UpstreamState[] {
    const avoided = (state: UpstreamState): number => (state.avoidUntil > now ? 1 : 0);
    return [...this.states].sort((a, b) => avoided(a) - avoided(b)); // stable
  }
}
