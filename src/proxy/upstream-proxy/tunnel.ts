/**
 * A guest's connection that is accepted before its destination is known. Its first bytes are read in the flow's own ring
 * until they name a server, or are of a protocol that names none, or the time is over; then the proxy is asked, and what
 * the guest has sent goes on once it has granted the connection. Requests of HTTP for a proxy of HTTP are passed on one by
 * one instead: see `HttpRelay`.
 *
 * A refusal is a page for a client of HTTP, and a reset for any other. Nothing but the rules leads past the proxy.
 */
import type { Instant } from '../../base/time.ts';
import { connectStream } from '../../native/stream/connect-stream.ts';
import type { Connecting, ConnectOwner, HostStream } from '../../native/stream/host-stream.ts';
import type { Claim } from '../../services/sniff/reader.ts';
import { type Inspection, StreamInspector } from '../../services/sniff/stream-inspector.ts';
import type { ProxyTarget } from '../../services/upstream-proxy/proxy-server.ts';
import type { CloseReason, FlowId, TcpFlow } from '../../stack/flow.ts';
import type { FlowFacts, FlowVerdict } from '../flows/flow.ts';
import type { WhenSpliceOver } from '../flows/via.ts';
import { errorPage, type PageStatus } from '../inspect/error-page.ts';
import type { NameCheck } from '../inspect/name-check.ts';
import { StreamGate } from '../inspect/stream-gate.ts';
import type { Intake } from '../intake.ts';
import type { PumpContext } from '../stream/stream-pump.ts';
import { pageStatusOf } from './page-error.ts';
import { ProxyDial } from './proxy-dial.ts';
import { RelayedSplice } from './relayed-splice.ts';
import type { RouteDeps } from './route-deps.ts';
import type { RelayClient, RouteStep } from './route-step.ts';

/** Decides for one connection. */
export interface TunnelRoute extends RelayClient {
  readonly deps: RouteDeps;
  readonly check: NameCheck | undefined;
  readonly verdict: FlowVerdict | undefined;
  /** Its port is one of HTTP, for a proxy of HTTP. */
  readonly isHttp: boolean;
  /** Where the proxy is, without credentials. */
  readonly proxy: string;
  /** The address that the guest has connected to, as the host dials it. */
  readonly address: string;
  stepFor(claim: Claim | undefined): RouteStep;
  dial(target: ProxyTarget, owner: ConnectOwner): ProxyDial;
}

export class Tunnel extends RelayedSplice implements ConnectOwner {
  private readonly route: TunnelRoute;
  private readonly inspector: StreamInspector;
  /** What the guest has said first. */
  private claim: Claim | undefined = undefined;
  private seen = 0;
  private isSettled = false;
  private timer: NodeJS.Timeout | undefined = undefined;
  private intakeOfGuest: Intake | undefined = undefined;
  private connecting: Connecting | undefined = undefined;
  private isProxied = false;

  constructor(route: TunnelRoute, context: PumpContext, id: FlowId, whenOver: WhenSpliceOver) {
    super(route.deps.relay, route, context, id, whenOver, route.verdict);
    this.route = route;
    this.inspector = new StreamInspector((claim) => {
      this.claim = claim;
      return false; // the first is enough
    });
  }

  override begin(flow: TcpFlow, intake: Intake | undefined): void {
    this.flow = flow;
    this.intakeOfGuest = intake;
    this.timer = setTimeout(() => this.settle(), this.route.deps.waitMs).unref();
    this.look(flow);
  }

  override describeFlow(): FlowFacts {
    const facts = super.describeFlow();
    return this.isProxied ? { ...facts, proxy: this.route.proxy } : facts;
  }

  override onReadable(now: Instant): void {
    const { flow } = this;
    if (this.isSettled || flow === undefined) super.onReadable(now);
    else this.look(flow);
  }

  override onPeerEnd(now: Instant): void {
    super.onPeerEnd(now);
    if (!this.isSettled) this.settle();
  }

  override onClosed(now: Instant, flow: TcpFlow, reason: CloseReason): void {
    this.giveUp();
    super.onClosed(now, flow, reason);
  }

  override abort(): void {
    this.giveUp();
    super.abort();
  }

  onConnected(stream: HostStream): void {
    const { connecting, flow, route } = this;
    this.connecting = undefined;
    if (flow === undefined) {
      stream.reset();
      return;
    }
    const early = connecting instanceof ProxyDial ? connecting.early : undefined;
    if (early !== undefined) flow.send(this.pump.clock.now(), early, 0, early.length);
    const { check } = route;
    if (check !== undefined) this.gate = new StreamGate(this, check);
    this.join(stream, flow, this.intakeOfGuest);
    this.resume();
  }

  onConnectFailed(code: string): void {
    const { connecting, route } = this;
    this.connecting = undefined;
    const failure = connecting instanceof ProxyDial ? connecting.failure : undefined;
    const why = failure?.text ?? `the destination cannot be reached: ${code}`;
    const status = pageStatusOf(failure ?? { code, status: undefined });
    route.deps.count(failure?.status === undefined ? 'failed' : 'refused');
    if (status === 504) route.deps.count('timed-out');
    route.deps.onFailed(this.id, why);
    this.refuse(status, why);
  }

  private look(flow: TcpFlow): void {
    let result: Inspection = 'more';
    while (this.seen < flow.receivedLen && result === 'more') {
      const { bytes, off, len } = flow.peek(this.seen);
      this.seen += len;
      result = this.inspector.push(bytes, off, off + len);
    }
    if (result !== 'more') this.settle();
  }

  /** What the guest has said by now decides. */
  private settle(): void {
    const { claim, route, flow } = this;
    if (this.isSettled || flow === undefined) return;
    this.isSettled = true;
    clearTimeout(this.timer);
    if (claim?.by === 'http' && route.isHttp) {
      this.isProxied = true;
      this.passOn(flow);
      return;
    }
    const denial = claim && route.check?.onClaim(claim);
    if (denial !== undefined) this.deny(denial);
    else this.go(route.stepFor(claim));
  }

  private go(step: RouteStep): void {
    const { deps, address } = this.route;
    switch (step.kind) {
      case 'denied':
        this.deny(step.why);
        return;
      case 'failed':
        this.refuse(502, step.why);
        return;
      case 'direct': {
        deps.count('direct');
        const to = { host: step.address, port: step.port };
        this.connecting = connectStream(to, this, deps.dial.options);
        return;
      }
      case 'proxy':
        this.isProxied = true;
        deps.count('connected');
        if (step.target.host === address) deps.count('unnamed');
        this.connecting = this.route.dial(step.target, this);
    }
  }

  private deny(why: string): void {
    this.route.deps.count('denied');
    this.refuse(403, why);
  }

  private refuse(status: PageStatus, why: string): void {
    this.turnAway(this.claim?.by === 'http' ? errorPage(status, why) : undefined);
    this.pump.flusher.schedule();
  }

  private giveUp(): void {
    this.isSettled = true;
    clearTimeout(this.timer);
    this.connecting?.cancel();
    this.connecting = undefined;
  }
}
