/**
 * The servers to ask, in order: as configured, but servers that recently did not answer
 * are moved to the end until they answer, or for a limited time. None is ever left out.
 */
import type { Instant } from '../../base/time.ts';
import type { DnsUpstream } from '../../services/dns/resolv-conf.ts';
import { type AskEvents, askOver, askTcp, askUdp, type Cancel, type Dial } from './ask.ts';
import type { SecureDeps } from './secure/secure-connection.ts';
import { SecureUpstream } from './secure/secure-upstream.ts';

const AVOID_MS = 30_000;

export type Transport = 'udp' | 'tcp';

export class UpstreamState {
  readonly server: DnsUpstream;
  avoidUntil: Instant = 0;
  private readonly deps: SecureDeps;
  private direct: SecureUpstream | undefined = undefined;
  private dialled: SecureUpstream | undefined = undefined;
  private dial: Dial | undefined = undefined;

  constructor(server: DnsUpstream, deps: SecureDeps) {
    this.server = server;
    this.deps = deps;
  }

  /** Whether it is asked over TLS, and over nothing else. */
  get isSecure(): boolean {
    return this.server.tlsName !== undefined;
  }

  /** @param dial undefined: directly */
  ask(query: Uint8Array, transport: Transport, dial: Dial | undefined, events: AskEvents): Cancel {
    if (this.isSecure) return this.secure(dial).ask(query, events);
    if (dial !== undefined) return askOver(dial, this.server, query, events);
    return transport === 'udp'
      ? askUdp(this.server, query, events)
      : askTcp(this.server, query, events);
  }

  onAnswer(): void {
    this.avoidUntil = 0;
  }

  onSilence(now: Instant): void {
    this.avoidUntil = now + AVOID_MS;
  }

  close(): void {
    this.direct?.close();
    this.dialled?.close();
  }

  private secure(dial: Dial | undefined): SecureUpstream {
    if (dial === undefined) {
      this.direct ??= new SecureUpstream(this.server, this.deps);
      return this.direct;
    }
    if (this.dialled === undefined || this.dial !== dial) {
      this.dialled?.close();
      this.dialled = new SecureUpstream(this.server, { ...this.deps, dial });
      this.dial = dial;
    }
    return this.dialled;
  }
}

export class Upstreams {
  private states: readonly UpstreamState[] = [];
  private turn = 0;
  private readonly deps: SecureDeps;

  constructor(deps: SecureDeps) {
    this.deps = deps;
  }

  get servers(): readonly DnsUpstream[] {
    return this.states.map((state) => state.server);
  }

  replace(servers: readonly DnsUpstream[]): void {
    this.close();
    this.states = servers.map((server) => new UpstreamState(server, this.deps));
  }

  close(): void {
    for (const state of this.states) state.close();
  }

  /** @param rotate start with the next server each time, among those that are not avoided */
  inOrder(now: Instant, rotate = false): readonly UpstreamState[] {
    const avoided = (state: UpstreamState): number => (state.avoidUntil > now ? 1 : 0);
    const first = rotate && this.states.length > 0 ? this.turn++ % this.states.length : 0;
    const turned = [...this.states.slice(first), ...this.states.slice(0, first)];
    return turned.sort((a, b) => avoided(a) - avoided(b)); // stable
  }
}
