/** Where a packet of either family goes from input. */
import type { Instant } from '../base/time.ts';
import type { LinkPort } from './link-port.ts';
import type { Packet } from './packet.ts';

export interface UpperLayers {
  onTcp(now: Instant, packet: Packet): void;
  onUdp(now: Instant, packet: Packet, port: LinkPort, toGateway: boolean): void;
}
