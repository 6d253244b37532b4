/**
 * The bodies of the API's answers: one definition for the OpenAPI document and for the client's
 * check of the answers. It is checked against the types of `network-view.ts` at compile time.
 */
import * as z from 'zod';
import { once } from '../base/once.ts';
import { SANDBOX_PARTS } from '../native/sandbox/parts.ts';
import { EVIDENCES, FLOW_PROTOCOLS, FLOW_SERVICES } from '../proxy/flows/flow.ts';
import { PROXY_PROTOCOLS, SOURCE_ADDRESSES, WAYS } from '../proxy/ports/publish-spec.ts';
import { POLICY_PLACES } from '../services/policy/policy.ts';
import type { BlockView, FlowFeedEvent, FlowView, VerdictView } from './flow-view.ts';
import type {
  BudgetView,
  ConflictsView,
  ConflictView,
  GuestView,
  HealthView,
  LeaseView,
  LeftOutView,
  MuxLinkView,
  NetworkInfoView,
  PortView,
  SandboxView,
  WaitingPortView,
} from './network-view.ts';

/** Made at its first use: it must not delay the daemon's start. */
export type Schema<T> = () => z.ZodType<T>;

const count = z.int().nonnegative();
const ms = z.int().nonnegative();
const fineMs = z.number().nonnegative();
const text = z.string();

export interface DaemonView {
  readonly name: string;
  readonly version: string;
  readonly nodeVersion: string;
  readonly pid: number;
  readonly uptimeMs: number;
  /** `unix:PATH` or `tcp:ADDRESS:PORT`. */
  readonly api: string;
  readonly sandbox: SandboxView;
}

export type InfoAnswer = DaemonView & NetworkInfoView;

export interface FlowsAnswer {
  /** In the order in which they were opened. */
  readonly flows: readonly FlowView[];
  /** Flows that match the query, before `limit`. */
  readonly total: number;
  /** Of a query that asks for the others: its `after`. Null when there are none. */
  readonly next: string | null;
}

/** One line of a stream of flows. `present`: it was open when the stream began. */
export type FlowLine =
  | { readonly kind: 'present'; readonly flow: FlowView; readonly why: null | string }
  | FlowFeedEvent;

export interface ProblemAnswer {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  /** The system's code, or one of ours, where a program can use it. */
  readonly code?: string | undefined;
}

export const healthSchema: Schema<HealthView> = once(() =>
  z.object({
    status: z.enum(['ok', 'degraded']),
    problems: z.array(text),
  }),
);

export const muxSchema: Schema<{ readonly links: readonly MuxLinkView[] }> = once(() =>
  z.object({
    links: z.array(
      z.object({
        link: text,
        state: z.enum(['listening', 'connecting', 'connected']),
        problem: text,
        peers: z.array(
          z.object({
            id: count,
            state: z.enum(['greeting', 'ready', 'unresponsive']),
            dialect: z.enum(['hawser', 'vpnkit']).nullable(),
            role: z.enum(['connector', 'listener']),
            upMs: ms,
            rttMs: fineMs,
            channels: count,
            opened: count,
            accepted: count,
            bytesReceived: count,
            bytesSent: count,
            windowBytes: count,
            drops: z.record(text, count),
          }),
        ),
      }),
    ),
  }),
);

export const infoSchema: Schema<InfoAnswer> = once(() =>
  z.object({
    name: text,
    version: text,
    nodeVersion: text,
    pid: count,
    uptimeMs: ms,
    api: text,
    sandbox: z.object({
      mode: z.enum(['on', 'off', 'strict']),
      parts: z.array(z.object({ part: z.enum(SANDBOX_PARTS), holds: z.boolean(), detail: text })),
    }),
    subnet: text,
    gateway: text,
    hostIp: text.nullable(),
    ipv6: z
      .object({
        subnet: text,
        gateway: text,
        hostIp: text.nullable(),
        route: z.boolean(),
        nat64: z.boolean(),
      })
      .nullable(),
    gatewayMac: text,
    mtu: count,
    separation: z.enum(['separate', 'isolate', 'trust']),
    links: z.array(z.object({ link: text, attachedGuests: count })),
    longestTurnMs: fineMs,
    dnsUpstreams: z.array(text),
    dnsDomains: z.array(text),
    dnsSearch: z.array(text),
  }),
);

export const guestSchema: Schema<GuestView> = once(() =>
  z.object({
    id: count.nullable(),
    mac: text,
    addresses: z.array(text),
    hostname: text.nullable(),
    link: text.nullable(),
    attachedMs: ms.nullable(),
    knownMs: ms.nullable(),
    shares: z.record(text, z.object({ held: count, refused: count, evicted: count })),
    framesToHost: count,
    framesToGuest: count,
    bytesToHost: count,
    bytesToGuest: count,
    framesRefused: count,
    blocked: z.record(text, count),
  }),
);
export const budgetsSchema: Schema<{ readonly budgets: readonly BudgetView[] }> = once(() =>
  z.object({
    budgets: z.array(
      z.object({
        name: text,
        whole: count,
        kept: count,
        heldByHost: count,
        heldByGuests: count,
        refused: count,
        evicted: count,
      }),
    ),
  }),
);

const conflictPartySchema = once(() =>
  z.object({
    guestId: count.nullable(),
    guestName: text.nullable(),
    guestMac: text,
    link: text.nullable(),
  }),
);
export const conflictSchema: Schema<ConflictView> = once(() =>
  z.object({
    address: text,
    kind: z.enum(['ethernet', 'ipv4', 'ipv6']),
    claimant: conflictPartySchema(),
    owner: conflictPartySchema(),
    sinceMs: ms,
    lastMs: ms,
    times: count,
  }),
);
export const conflictsSchema: Schema<ConflictsView> = once(() =>
  z.object({ conflicts: z.array(conflictSchema()), unlisted: count }),
);

export const guestsSchema: Schema<{ readonly guests: readonly GuestView[] }> = once(() =>
  z.object({
    guests: z.array(guestSchema()),
  }),
);

const endNumber = count.nullable();
export const flowSchema: Schema<FlowView> = once(() =>
  z.object({
    id: text,
    protocol: z.enum(FLOW_PROTOCOLS),
    openedBy: z.enum(['guest', 'host']),
    via: z.enum(WAYS),
    service: z.enum(FLOW_SERVICES).nullable(),
    publication: text.nullable(),
    guestId: endNumber,
    guestName: text.nullable(),
    guestAddress: text.nullable(),
    guestPort: endNumber,
    guestPath: text.nullable(),
    remoteAddress: text.nullable(),
    dialledAddress: text.nullable(),
    proxy: text.nullable(),
    remotePort: endNumber,
    remotePath: text.nullable(),
    name: text.nullable(),
    evidence: z.enum(EVIDENCES).nullable(),
    rule: text.nullable(),
    state: text,
    bytesToHost: count,
    bytesToGuest: count,
    packetsToHost: count.nullable(),
    packetsToGuest: count.nullable(),
    ageMs: ms,
    idleMs: ms,
    tcp: z
      .object({
        srttMs: fineMs,
        cwndBytes: count,
        retransmits: count,
        bufferedToHost: count,
        bufferedToGuest: count,
      })
      .nullable(),
  }),
);
export const flowsSchema: Schema<FlowsAnswer> = once(() =>
  z.object({
    flows: z.array(flowSchema()),
    total: count,
    next: text.nullable(),
  }),
);
const wantedShape = {
  guestId: count,
  guestName: text.nullable(),
  guestMac: text.nullable(),
  protocol: z.enum(['tcp', 'udp', 'icmp', 'dns', 'ip']),
  remoteAddress: text.nullable(),
  remotePort: count,
  name: text.nullable(),
  rule: text.nullable(),
};
export const blockSchema: Schema<BlockView> = once(() => z.object({ ...wantedShape, why: text }));
export const verdictSchema: Schema<VerdictView> = once(() =>
  z.object({
    ...wantedShape,
    place: z.enum(POLICY_PLACES).nullable(),
    evidence: z.enum(EVIDENCES).nullable(),
    why: text.nullable(),
  }),
);
export const flowLineSchema: Schema<FlowLine> = once(() =>
  z.discriminatedUnion('kind', [
    z.object({
      kind: z.enum(['present', 'opened', 'ended']),
      flow: flowSchema(),
      why: text.nullable(),
    }),
    z.object({
      kind: z.enum(['blocked', 'observed']),
      block: blockSchema(),
    }),
    z.object({ kind: z.literal('missed'), events: count }),
  ]),
);

export const leaseSchema: Schema<LeaseView> = once(() =>
  z.object({
    mac: text,
    address: text,
    hostname: text.nullable(),
    static: z.boolean(),
    expiresAt: text.nullable(),
  }),
);
export const leasesSchema: Schema<{ readonly leases: readonly LeaseView[] }> = once(() =>
  z.object({
    leases: z.array(leaseSchema()),
  }),
);

export const portSchema: Schema<PortView> = once(() =>
  z.object({
    id: text,
    protocol: z.enum(['tcp', 'udp', 'unix']),
    hostAddress: text.nullable(),
    hostPort: count.nullable(),
    hostPath: text.nullable(),
    guestAddress: text.nullable(),
    guest: text.nullable(),
    guestNow: z
      .object({ address: text.nullable(), mac: text.nullable(), attached: z.boolean() })
      .nullable(),
    guestPort: count.nullable(),
    guestPath: text.nullable(),
    via: z.enum(WAYS),
    sourceAddress: z.enum(SOURCE_ADDRESSES),
    proxyProtocol: z.enum(PROXY_PROTOCOLS).nullable(),
    lease: z.literal('connection').nullable(),
    annotation: text.nullable(),
    owner: text,
    link: text.nullable(),
    active: count,
  }),
);
export interface PortsAnswer {
  readonly ports: readonly PortView[];
  /** Wanted, and not published yet. */
  readonly waiting: readonly WaitingPortView[];
  readonly leftOut: readonly LeftOutView[];
}

export const portsSchema: Schema<PortsAnswer> = once(() =>
  z.object({
    ports: z.array(portSchema()),
    waiting: z.array(
      z.object({
        protocol: z.enum(['tcp', 'udp']),
        hostAddress: text,
        hostPort: count,
        guestAddress: text,
        guestPort: count,
        owner: text,
        link: text.nullable(),
        code: text,
        problem: text,
      }),
    ),
    leftOut: z.array(z.object({ owner: text, link: text.nullable(), ports: count })),
  }),
);

export const shutdownSchema: Schema<{ readonly stopping: true }> = once(() =>
  z.object({
    stopping: z.literal(true),
  }),
);

export const problemSchema: Schema<ProblemAnswer> = once(() =>
  z.object({
    type: text,
    title: text,
    status: count,
    detail: text,
    code: text.optional(),
  }),
);
