/**
 * The TCP/IP stack alone: Ethernet frames of guests in, flows out. It does no I/O and knows no clock: frames, time and
 * randomness are arguments, so that it runs anywhere, in virtual time too.
 *
 * A program makes a {@link Stack} with an {@link Upstream} that takes connections, datagrams and pings of guests;
 * gives it links with `attach`; and calls `onTimeout` when `nextTimeout` says so.
 *
 * @module
 */
export type { ByteStream, ByteStreamHandler } from '../base/byte-stream.ts';
export type { Counters } from '../base/counters.ts';
export { keyGuest, keyRemote } from '../base/flow-key.ts';
export { IpAddress, ipv4 } from '../base/ip-address.ts';
export { type Random, seededRandom } from '../base/random.ts';
export type { Run } from '../base/run.ts';
export { makeSlab, type Slab, slabOver } from '../base/slab.ts';
export { type Instant, NEVER } from '../base/time.ts';
export type { Mac } from '../wire/mac.ts';
export type { StackDrop } from './drops.ts';
export type {
  CloseReason,
  Datagram,
  Downstream,
  EchoId,
  EchoRequest,
  FlowId,
  NetworkError,
  RefuseReason,
  TcpFlow,
  TcpFlowHandler,
  TcpFlowInfo,
  TcpRequest,
  Upstream,
} from './flow.ts';
export { Frame, type FrameChecksum, type FrameWork, type GsoType } from './frame.ts';
export type { DhcpResponder } from './ipv4/dhcp.ts';
export type { FrameReader, FrameWriter, LinkAcceptor, Timed } from './link.ts';
export { Stack } from './stack.ts';
export type { StackConfig, StackEvents } from './stack-config.ts';
export type { AddressUser, Stations } from './stations.ts';
export { DEFAULT_TCP_CONFIG, type TcpConfig } from './tcp/config.ts';
export type { UdpService } from './udp.ts';
