/** The command line of gvproxy: its flags and their words, and two of our own. */
import type { GoFlags } from '../go-flags.ts';

export const DEFAULT_SUBNET = '192.168.127.0/24';
export const DEFAULT_SSH_PORT = 2222;

export const GVPROXY_FLAGS: GoFlags = {
  config: { kind: 'text', usage: 'Use configuration file with command line override' },
  listen: { kind: 'texts', usage: 'control endpoint' },
  debug: { kind: 'boolean', usage: 'Print debug info' },
  pcap: { kind: 'text', usage: 'Capture network traffic to a pcap file' },
  mtu: { kind: 'integer', usage: 'Set the MTU (default: 1500)' },
  'ssh-port': {
    kind: 'integer',
    usage: 'Port to access the guest virtual machine. Must be between 1024 and 65535',
    byDefault: DEFAULT_SSH_PORT,
  },
  subnet: {
    kind: 'text',
    usage: 'Subnet address in CIDR format, e.g. 192.168.127.0/24',
    byDefault: DEFAULT_SUBNET,
  },
  gatewayIP: {
    kind: 'text',
    usage: 'Gateway IP address, default is first usable address of subnet',
  },
  deviceIP: {
    kind: 'text',
    usage: 'Device IP address, default is second usable address of subnet',
  },
  hostIP: { kind: 'text', usage: 'Host IP address, default is last usable address of subnet' },
  'listen-vpnkit': { kind: 'text', usage: 'VPNKit socket to be used by Hyperkit' },
  'listen-qemu': { kind: 'text', usage: 'Socket to be used by Qemu' },
  'listen-bess': {
    kind: 'text',
    usage: 'unixpacket socket to be used by Bess-compatible applications',
  },
  'listen-stdio': { kind: 'text', usage: 'accept stdio pipe' },
  'listen-vfkit': {
    kind: 'text',
    usage: 'unixgram socket to be used by vfkit-compatible applications',
  },
  'forward-sock': {
    kind: 'texts',
    usage: 'Forwards a unix socket to the guest virtual machine over SSH',
  },
  'forward-dest': {
    kind: 'texts',
    usage: 'Forwards a unix socket to the guest virtual machine over SSH',
  },
  'forward-user': { kind: 'texts', usage: 'SSH user to use for unix socket forward' },
  'forward-identity': { kind: 'texts', usage: 'Path to SSH identity key for forwarding' },
  'pid-file': { kind: 'text', usage: 'Generate a file with the PID in it' },
  'log-file': { kind: 'text', usage: 'Output log messages (logrus) to a given file path' },
  services: {
    kind: 'text',
    usage: 'Exposes the same HTTP API as the --listen flag, without the /connect endpoint',
  },
  'ec2-metadata-access': {
    kind: 'boolean',
    usage: 'Permits access to EC2 Metadata Service and Amazon Time Sync Service',
  },
  notification: { kind: 'text', usage: 'Socket to be used to send network-ready notifications' },
  version: { kind: 'boolean', usage: 'Print version information' },
  'exit-with-guest': {
    kind: 'text',
    usage:
      'End when the last guest has left: always, never, or auto, with -listen-qemu, -listen-bess, -listen-vfkit and -listen-stdio (hawser)',
    byDefault: 'auto',
  },
  sandbox: {
    kind: 'text',
    usage:
      'Give up what is not needed, as of "hawser run": on, strict, off; default that of HAWSER_SANDBOX, or off (hawser)',
  },
};
