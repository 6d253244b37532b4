/** Types for what we use of pcap-parser, which has none. */
declare module 'pcap-parser' {
  import type { EventEmitter } from 'node:events';

  interface GlobalHeader {
    readonly linkLayerType: number;
  }
  interface Packet {
    readonly header: {
      readonly timestampSeconds: number;
      readonly timestampMicroseconds: number;
      readonly capturedLength: number;
      readonly originalLength: number;
    };
    readonly data: Uint8Array;
  }
  interface PcapEvents {
    globalHeader: [GlobalHeader];
    packet: [Packet];
    error: [Error];
    end: [];
  }
  export function parse(file: string): EventEmitter<PcapEvents>;
}
