/** Packet scripts of IPv6. */
import { ICMPV6, packet6 } from './frames6.ts';
import { IPV6_CONFIG, Script, type ScriptOptions } from './script.ts';

/** A stack with IPv6. */
export const script6 = ({ config, ...more }: ScriptOptions = {}): Script =>
  new Script({ ...more, config: { ipv6: IPV6_CONFIG, ...config } });

/** The ICMPv6 messages since the last look. */
export const messages = (s: Script): Uint8Array[] =>
  s.writer
    .take()
    .map(packet6)
    .filter(({ protocol }) => protocol === ICMPV6)
    .map(({ upper }) => upper);

/** Type, code and the second word of each. */
export const icmp6Out = (s: Script): number[][] =>
  messages(s).map((message) => {
    const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
    return [view.getUint8(0), view.getUint8(1), view.getUint32(4)];
  });

export const numbers = (len: number): number[] =>
  Array.from({ length: len }, (_, i) => (i * 7) & 255);
