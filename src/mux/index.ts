/**
 * The socket multiplexer alone: many channels over one stream of bytes, VPNKit's protocol and hawser's extension of it. It
 * does no I/O and knows no clock: bytes and time are arguments.
 *
 * A program makes a {@link Mux} with a {@link MuxWriter} for what is to be sent and a {@link MuxHandler} for what the
 * peer asks, calls `start`, and feeds it: `onBytes` and `onBatchEnd` with what was received, `onWritable` when the
 * writer has room again, `onTimeout` when `nextTimeout` says so, `flush` when `onWork` asked for it.
 *
 * @module
 */
export type { ByteStream, ByteStreamHandler } from '../base/byte-stream.ts';
export { IpAddress, ipv4 } from '../base/ip-address.ts';
export type { Run } from '../base/run.ts';
export { makeSlab, type Slab, slabOver } from '../base/slab.ts';
export { type Instant, NEVER } from '../base/time.ts';
export {
  type Destination,
  formatDestination,
  type IpDestination,
  type IpEndpoint,
  type UnixDestination,
} from './destination.ts';
export type { MuxRole } from './handshake.ts';
export { Mux } from './mux.ts';
export type { MuxChannel, MuxChannelHandler, MuxChannelInfo } from './mux-channel.ts';
export type { MuxDownReason, MuxHandler } from './mux-handler.ts';
export type { MuxOptions } from './options.ts';
export type { ChannelEnd, RefusalReason } from './reason.ts';
export type { ChannelRequest } from './request.ts';
export type { MuxDrop, MuxStats } from './stats.ts';
export {
  DatagramChannel,
  emitDatagramHeader,
  MAX_DATAGRAM_HEADER_LEN,
  type MuxDatagram,
  makeDatagramScratch,
  parseDatagram,
} from './udp-encapsulation.ts';
export type { MuxWriter } from './writer.ts';
