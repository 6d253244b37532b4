/** What a hostile guest does, one attack at a time. */
export interface Attack {
  readonly name: string;
  /** For the table. */
  readonly about: string;
  /** Of `bench/tools/attacker.c`; undefined: what `mux` says. */
  readonly frames?: string;
  /** Attachments at once. */
  readonly links?: number;
  /** Through an agent, to an allowed target: so many connections. */
  readonly channels?: number;
  /** `ulimit -n` of the daemon. */
  readonly descriptors?: number;
  /** Left out of the short run: one of its kind is there already. */
  readonly longOnly?: boolean;
}

export const DESCRIPTORS = 8192;

export const ATTACKS: readonly Attack[] = [
  {
    name: 'window-edge',
    about: '6,000 TCP connections to DNS, one byte in order and one at the edge of the window',
    frames: 'window-edge',
  },
  { name: 'syn-open', about: 'SYNs to an open port', frames: 'syn-open' },
  { name: 'syn-closed', about: 'SYNs to a closed port', frames: 'syn-closed' },
  { name: 'syn-hole', about: 'SYNs to addresses that never answer', frames: 'syn-hole' },
  {
    name: 'syn-addresses',
    about: 'SYNs to an open port, from a hundred addresses of its link',
    frames: 'syn-addresses',
  },
  { name: 'tcp-hoard', about: '60,000 connections opened and kept', frames: 'tcp-hoard' },
  { name: 'tcp-churn', about: 'connections opened and closed at once', frames: 'tcp-churn' },
  {
    name: 'challenge-acks',
    about: 'segments and resets outside of the window',
    frames: 'challenge-acks',
  },
  { name: 'zero-window', about: '500 downloads, window closed', frames: 'zero-window' },
  { name: 'download', about: '8 downloads, as fast as they come', frames: 'download' },
  { name: 'udp-ports', about: 'datagrams from ever new ports, answered', frames: 'udp-ports' },
  {
    name: 'udp-hole',
    about: 'datagrams from ever new ports to addresses that never answer',
    frames: 'udp-hole',
  },
  { name: 'udp-closed', about: 'datagrams to closed ports', frames: 'udp-closed' },
  {
    name: 'udp-links',
    about: 'datagrams from ever new ports, by 64 links',
    frames: 'udp-ports',
    links: 64,
  },
  { name: 'dns-mute', about: 'queries of names that nobody answers', frames: 'dns-mute' },
  { name: 'dns-names', about: 'queries of ever new names, answered', frames: 'dns-names' },
  { name: 'ping-ids', about: 'pings of ever new identifiers', frames: 'ping-ids' },
  { name: 'deaf', about: 'pings to the gateway; answers are not taken', frames: 'deaf' },
  { name: 'fragments', about: 'fragments that are never completed', frames: 'fragments' },
  { name: 'arp', about: 'ARP requests and claims of ever new addresses', frames: 'arp' },
  { name: 'dhcp', about: 'DHCP of ever new machines', frames: 'dhcp' },
  {
    name: 'ndp',
    about: 'NDP solicitations and advertisements, router advertisements',
    frames: 'ndp',
  },
  { name: 'multicast', about: 'multicast and broadcast of 1400 bytes', frames: 'multicast' },
  {
    name: 'guest-flood',
    about: 'datagrams of 1400 bytes to the other guest',
    frames: 'guest-flood',
  },
  { name: 'garbage', about: 'frames that are dropped', frames: 'garbage' },
  { name: 'publish', about: 'publications through the guest API', frames: 'publish' },
  { name: 'api-hoard', about: '20,000 connections to the guest API, silent', frames: 'api-hoard' },
  { name: 'api-noise', about: 'requests to the guest API that are refused', frames: 'api-noise' },
  { name: 'reattach', about: 'links that come, send SYNs and go', frames: 'reattach' },
  {
    name: 'channels',
    about: '6,000 channels of the multiplexer to an allowed target; 2,048 descriptors',
    channels: 6000,
    descriptors: 2048,
  },
  {
    name: 'tcp-hoard-256',
    about: '60,000 connections opened and kept; 256 descriptors',
    frames: 'tcp-hoard',
    descriptors: 256,
    longOnly: true,
  },
  {
    name: 'udp-ports-256',
    about: 'datagrams from ever new ports; 256 descriptors',
    frames: 'udp-ports',
    descriptors: 256,
    longOnly: true,
  },
];
