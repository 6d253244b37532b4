/// <reference types="node" preserve="true" />
/**
 * hawser as a library: a network for virtual machines inside a program.
 *
 * ```ts
 * await using network = await createNetwork({ publish: '8080:80' });
 * network.attach(child.stdio[3]); // QEMU's `-netdev stream,server=off,addr.type=fd,addr.str=3`
 * ```
 *
 * `hawser/stack` and `hawser/mux` are the parts that do no I/O.
 *
 * @module
 */
export { IpAddress, ipv4 } from './base/ip-address.ts';
export type { Log } from './base/log.ts';
export { ListenError as ApiListenError } from './control/api-listener.ts';
export type {
  ConflictEvent,
  DnsEvent,
  DnsQueryView,
  EventReader,
  EventsView,
  GapEvent,
  GuestEvent,
  KeptEvent,
  LeaseEvent,
  LimitEvent,
  MuxEvent,
  NetworkEvents,
  PortEvent,
  StreamEvent,
} from './control/events/network-events.ts';
export type { ServedView } from './control/events/served-view.ts';
export type {
  BlockEvent,
  BlockView,
  FlowCount,
  FlowEvent,
  FlowFeedEvent,
  FlowsView,
  FlowView,
  MissedEvents,
  TcpFlowView,
  VerdictEvent,
} from './control/flow-view.ts';
export type {
  ConflictPartyView,
  ConflictsView,
  ConflictView,
  GuestView,
  HealthView,
  Ipv6View,
  LeaseView,
  LinkView,
  MuxLinkView,
  MuxPeerView,
  NetworkInfoView,
  NetworkView,
  PortView,
  ShareView,
  TrafficView,
} from './control/network-view.ts';
export { type PolicyBook, PolicyConflict, PolicyError } from './control/policy-view.ts';
export { type ProxyBook, ProxyError } from './control/proxy-view.ts';
export { NativeUnavailableError, PosixError } from './native/errors.ts';
export { AuditError } from './network/audit/audit-file.ts';
export { createNetwork } from './network/create-network.ts';

export type { ChannelMessage } from './network/event-hub.ts';
export {
  type DialOptions,
  type GuestConnection,
  type GuestServer,
  GuestStreamError,
  type ListenOptions,
} from './network/guest-streams.ts';
export type {
  AskingGuest,
  DnsAnswer,
  DnsRequest,
  FlowAnswer,
  FlowRequest,
  NetworkHooks,
  PublishedClientRequest,
} from './network/hooks/hooks.ts';
export type {
  Attachment,
  AttachOptions,
  DescriptorFraming,
  FrameAttachment,
  StreamFraming,
} from './network/links.ts';
export type { Network, ServeApiOptions, ServedApi } from './network/network-interface.ts';
export { OptionsError } from './network/option-problem.ts';
export type { NetworkOptions, OneOrMore } from './network/options.ts';
export { VERSION } from './network/version.ts';
export type { GuestName } from './proxy/ports/publication-guest.ts';
export {
  type GuestSide,
  type HostAddress,
  type PortSpec,
  PublishError,
  type PublishSpec,
  type SourceAddress,
  type UnixSpec,
} from './proxy/ports/publish-spec.ts';
export { PublishSyntaxError, parsePublish } from './proxy/ports/publish-text.ts';
export { StreamError } from './proxy/stream/stream-error.ts';
export { VirtualListenError } from './proxy/virtual-listeners.ts';
export { ipAddress } from './services/address-text.ts';
export type { NameRecords } from './services/dns/name-records.ts';
export { CaptureError } from './transports/capture/pcap-file.ts';
export type {
  PlainFrameReader as FrameReader,
  PlainFrameWriter as FrameWriter,
} from './transports/frame-link.ts';
export type { Framing } from './transports/framing.ts';
export { LinkError, LinkInUseError } from './transports/link-context.ts';
