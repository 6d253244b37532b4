/** What is read of, and written for, every segment of a bulk transfer. */
import { seq } from '../../src/base/seq.ts';
import { makePacketSlab } from '../../src/base/slab.ts';
import { checkIpv4, emitIpv4, Ipv4Fields, PROTOCOL_TCP } from '../../src/wire/ipv4.ts';
import { ACK, checkTcp, emitTcp, TcpFields } from '../../src/wire/tcp.ts';
import { emitTimestamps, TcpOptions } from '../../src/wire/tcp-options.ts';
import { runSuite } from './suite.ts';

const { view } = makePacketSlab(4096);
const options = new TcpOptions();
const L3 = 14;
const L4 = L3 + 20;
const HEADER = 32;
const LEN = HEADER + 1448;
const ip = new Ipv4Fields();
Object.assign(ip, { totalLength: 20 + LEN, fragment: 0x4000, protocol: PROTOCOL_TCP });
Object.assign(ip, { src: 0x0a00_0001, dst: 0x0a00_0002 });
const tcp = new TcpFields();
Object.assign(tcp, { srcPort: 80, dstPort: 40_000, sequence: seq(1), acknowledgment: seq(2) });
Object.assign(tcp, { headerLen: HEADER, flags: ACK, window: 512, len: LEN, addressSum: 77 });
const emit = (): void => {
  emitIpv4(view, L3, ip);
  emitTimestamps(view, L4 + 20, 1, 2);
  emitTcp(view, L4, tcp);
};
emit();
runSuite('headers of a full segment', {
  'emit, with checksums': emit,
  'check, without the TCP checksum': () => {
    checkIpv4(view, L3, 20 + LEN);
    checkTcp(view, L4, LEN, -1);
    options.read(view, L4, HEADER);
  },
  'check, with it': () => {
    checkIpv4(view, L3, 20 + LEN);
    checkTcp(view, L4, LEN, 77);
    options.read(view, L4, HEADER);
  },
});
