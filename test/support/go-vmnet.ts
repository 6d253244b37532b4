/** How VPNKit's Go package gets an address, which RootlessKit does too. */
import type { Vmn3tClient } from './vmn3t-client.ts';

const NOBODY = [0, 0, 0, 0];

export const macBytes = (mac: string): number[] =>
  mac.split(':').map((part) => Number.parseInt(part, 16));

/** As VPNKit's Go package builds it: checksums of IPv4 and UDP zero, and 244 bytes of BOOTP. */
export function goDiscover(mac: string): Buffer {
  const bootp = Buffer.alloc(244);
  bootp.set([1, 1, 6, 0, 1, 0, 0, 0, 0, 0, 0x80, 0]);
  bootp.set(macBytes(mac), 28);
  bootp.set([0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255], 236);
  const udp = Buffer.from([0, 68, 0, 67, 0, 252, 0, 0]);
  const ip = Buffer.from([0x45, 0, 1, 16, 0, 0, 0, 0, 64, 17, 0, 0, ...NOBODY, 255, 255, 255, 255]);
  const ethernet = Buffer.from([...Array(6).fill(0xff), ...macBytes(mac), 8, 0]);
  return Buffer.concat([ethernet, ip, udp, bootp]);
}

/** The address that a server offers: as the Go package looks for it. */
export async function offered(client: Vmn3tClient): Promise<string> {
  for (;;) {
    const frame = await client.readFrame();
    const isDhcp = frame.readUInt16BE(12) === 0x0800 && frame.readUInt16BE(36) === 68;
    if (isDhcp && frame.length >= 243) return frame.subarray(58, 62).join('.');
  }
}
