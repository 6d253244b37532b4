/**
 * The way of one connection through an upstream proxy: by which name the proxy is asked for its destination, or whether
 * it goes without the proxy after all.
 *
 * A name is what the guest says first (server name of TLS, Host), else one that the guest has asked our DNS for and this
 * address was the answer to, else there is none and the proxy is asked by address. Where a policy is in force the proxy is
 * asked only by names by which the guest found the address: any other would lead it past the rules of addresses.
 */
import type { ConnectOwner } from '../../native/stream/host-stream.ts';
import type { Claim } from '../../services/sniff/reader.ts';
import { openHandshake } from '../../services/upstream-proxy/open-handshake.ts';
import { type ProxyRules, waitsForGuest } from '../../services/upstream-proxy/proxy-rules.ts';
import {
  type ProxyServer,
  type ProxyTarget,
  proxyText,
} from '../../services/upstream-proxy/proxy-server.ts';
import type { FlowId } from '../../stack/flow.ts';
import type { FlowVerdict } from '../flows/flow.ts';
import type { ProxyQuestion } from '../flows/proxied-destinations.ts';
import type { AcceptedFirst, Via, WhenSpliceOver } from '../flows/via.ts';
import type { NameCheck } from '../inspect/name-check.ts';
import type { PumpContext } from '../stream/stream-pump.ts';
import { ProxyDial } from './proxy-dial.ts';
import type { RouteDeps } from './route-deps.ts';
import type { RelayClient, RouteStep } from './route-step.ts';
import { Tunnel, type TunnelRoute } from './tunnel.ts';

export class ProxiedRoute implements Via, RelayClient, TunnelRoute {
  readonly isExplicit = false;
  readonly deps: RouteDeps;
  readonly rules: ProxyRules;
  readonly server: ProxyServer;
  readonly question: ProxyQuestion;
  /** By which the guest found the address, as far as that is known. */
  private readonly known: string | undefined;
  /** The address stands for a name that only the proxy resolves. */
  private readonly isSynthetic: boolean;

  constructor(
    deps: RouteDeps,
    rules: ProxyRules,
    server: ProxyServer,
    question: ProxyQuestion,
    known: string | undefined,
    isSynthetic: boolean,
  ) {
    this.deps = deps;
    this.rules = rules;
    this.server = server;
    this.question = question;
    this.known = known;
    this.isSynthetic = isSynthetic;
  }

  get address(): string {
    return this.question.to.address;
  }

  get check(): NameCheck | undefined {
    return this.question.to.check;
  }

  get verdict(): FlowVerdict | undefined {
    return this.question.to.verdict;
  }

  get proxy(): string {
    return proxyText(this.server);
  }

  get isHttp(): boolean {
    return this.server.scheme === 'http' && this.rules.httpPorts.includes(this.question.port);
  }

  get waitsForGuest(): boolean {
    return waitsForGuest(this.rules, this.question.port);
  }

  connect(owner: ConnectOwner): ProxyDial {
    return this.dial(this.targetBy(this.known), owner);
  }

  accept(context: PumpContext, id: FlowId, whenOver: WhenSpliceOver): AcceptedFirst {
    return new Tunnel(this, context, id, whenOver);
  }

  dial(target: ProxyTarget, owner: ConnectOwner): ProxyDial {
    return new ProxyDial(this.deps.dial, this.server, openHandshake(this.server, target), owner);
  }

  /** Of what a guest says first; undefined: nothing that names a destination. */
  stepFor(claim: Claim | undefined): RouteStep {
    const { name } = claim ?? {};
    if (name === undefined) return this.stepUnnamed();
    const isExcluded = this.rules.exclude.hasName(name, this.question.port);
    if (this.hidesName(claim, name) && !isExcluded) return this.stepUnnamed();
    return this.stepByName(name);
  }

  /** Of a request of HTTP/1. The port is the connection's, whatever the request says. */
  stepOf(host: string | undefined): RouteStep {
    const claim: Claim = { by: 'http', name: host, hello: undefined };
    const why = this.check?.onClaim(claim);
    return why === undefined ? this.stepFor(claim) : { kind: 'denied', why };
  }

  private stepByName(name: string): RouteStep {
    const { question, rules, deps } = this;
    const objection = question.objectionTo?.(name);
    if (objection !== undefined) {
      question.onDenied(objection, name);
      return { kind: 'denied', why: objection };
    }
    if (rules.exclude.hasName(name, question.port) && !this.isSynthetic) return this.direct;
    const isTold = question.objectionTo === undefined || deps.isKnown(question, name);
    return this.proxied(isTold ? name : undefined);
  }

  private stepUnnamed(): RouteStep {
    const { rules, question, known } = this;
    if (this.isSynthetic) return this.proxied(known);
    if (known !== undefined && rules.exclude.hasName(known, question.port)) return this.direct;
    return rules.unnamed === 'direct' ? this.direct : this.proxied(undefined);
  }

  /** The part of a hello that names the server may be encrypted: what is seen is then the name of its front. */
  private hidesName(claim: Claim | undefined, name: string): boolean {
    return claim?.hello?.hasEch === true && !this.deps.isKnown(this.question, name);
  }

  private get direct(): RouteStep {
    return { kind: 'direct', address: this.question.to.address, port: this.question.port };
  }

  private proxied(name: string | undefined): RouteStep {
    return { kind: 'proxy', server: this.server, target: this.targetBy(name) };
  }

  private targetBy(name: string | undefined): ProxyTarget {
    const { to, port } = this.question;
    const host = (this.isSynthetic ? this.known : name) ?? to.address;
    return { host: host.replace(/^\[|\]$/g, ''), port };
  }
}
