/** Captures of real guests, read from `fixtures/captures`. */
import { readdirSync } from 'node:fs';
import { parse } from 'pcap-parser';

export const CAPTURES = 'fixtures/captures';
const ETHERNET_LINK = 1;

export interface CapturedFrame {
  /** Since the first frame. */
  readonly atMs: number;
  readonly bytes: Uint8Array;
}

/** Of the captures of one family. */
export const captureNames = (version: 4 | 6 = 4): readonly string[] =>
  readdirSync(CAPTURES)
    .filter((file) => file.endsWith('.pcap') && file.startsWith('ipv6-') === (version === 6))
    .map((file) => file.slice(0, -'.pcap'.length))
    .sort();

/** @throws when it is not a whole pcap of Ethernet frames that were not cut */
export function readCapture(name: string): Promise<readonly CapturedFrame[]> {
  return new Promise((resolve, reject) => {
    const frames: CapturedFrame[] = [];
    let beginMs = 0;
    const parser = parse(`${CAPTURES}/${name}.pcap`);
    parser.on('globalHeader', ({ linkLayerType }) => {
      if (linkLayerType !== ETHERNET_LINK) reject(new Error(`${name}: link ${linkLayerType}`));
    });
    parser.on('packet', ({ header, data }) => {
      if (header.capturedLength !== header.originalLength) reject(new Error(`${name}: cut`));
      const ms = header.timestampSeconds * 1000 + header.timestampMicroseconds / 1000;
      if (frames.length === 0) beginMs = ms;
      frames.push({ atMs: ms - beginMs, bytes: Uint8Array.from(data) });
    });
    parser.once('error', reject);
    parser.once('end', () => resolve(frames));
  });
}
