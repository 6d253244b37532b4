/** What `hawser run` and `createNetwork` use when nothing is given. */
import type { NetworkConfig } from '../../src/network/config.ts';

/** Of the name `default`. */
export const UNIQUE_LOCAL = 'fd32:7cc5:e92d:e67f::/64';

export const DEFAULT_NETWORK: NetworkConfig = {
  listen: [],
  subnet: '192.168.127.0/24',
  gateway: '192.168.127.1',
  gatewayMac: '5a:94:ef:e4:0c:dd',
  hostIp: '192.168.127.254',
  ipv6: {
    use: 'auto',
    subnet: UNIQUE_LOCAL,
    gateway: undefined,
    uniqueLocal: UNIQUE_LOCAL,
    mode: 'both',
  },
  nat64: { use: 'auto', isForPrivate: false, isIpv6Mostly: false },
  mtu: 1_500,
  publish: [],
  sourceAddress: 'preserve',
  keepaliveS: 120,
  outbound: [],
  mux: { links: [], allow: [] },
  guestApi: { enabled: false, bind: ['127.0.0.0/8:1024-65535', '[::1]:1024-65535'] },
  dns: {
    isServed: true,
    upstreams: undefined,
    domains: [],
    addresses: [],
    family: 'auto',
    hasCanaries: false,
    others: 'redirect',
    search: undefined,
    zones: [],
    hostsFile: undefined,
    resolvConf: undefined,
  },
  leases: { file: undefined, range: undefined, static: [] },
  policy: { file: undefined, allow: [], deny: [] },
  upstreamProxy: {
    ...{ servers: [], exclude: [], authFile: undefined },
    ...{ unnamed: 'connect', names: undefined },
  },
  separation: { isolate: false, trust: false, allowed: [] },
  wsOrigins: [],
  socketMode: 0o600,
  hostAccess: true,
  allowMetadata: false,
  vhostMemory: 'sealed',
  verifyChecksums: true,
  busyPollUs: undefined,
  linkGraceMs: 60_000,
  vpnkitMacs: [],
  audit: { file: undefined, isRequired: false, maxBytes: 64 << 20 },
  pcapFile: undefined,
};
