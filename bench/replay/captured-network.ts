/** The network in which the captures were taken: the stack has the same addresses. */
import { ipv4 } from '../../src/base/ip-address.ts';
import type { StackConfig } from '../../src/stack/stack-config.ts';

export const CAPTURED_NETWORK: StackConfig = {
  subnet: ipv4(0xc0a8_7f00 | 0),
  prefixLen: 24,
  gateway: ipv4(0xc0a8_7f01 | 0),
  host: ipv4(0xc0a8_7ffe | 0),
  mtu: 1500,
  mac: 0x5a94_efe4_0cdd,
  verifyChecksums: true,
  tcp: {},
};
