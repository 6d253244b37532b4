/**
 * The keeper of an unprivileged guest: runs as root of its own user and network namespace
 * (`unshare -Urn`), makes a veth pair, and passes a packet socket on the far end out through
 * descriptor 3. The near end is the guest's interface. Prints `ready` when all is done, and keeps the
 * namespaces alive until its stdin ends.
 *
 * `node packet-holder.js IFNAME`
 */
import { execFileSync } from 'node:child_process';
import { loadPosix } from '../../native/load.ts';

const FAR_END = 'hawser0';
const SOCKET_FD = 3;
/** The far end must take whatever MTU the lease gives the near one. */
const MTU_MAX = '65535';

const [, , ifName = 'eth0'] = process.argv;
const ip = (...args: string[]): void => {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] });
};
ip('link', 'set', 'lo', 'up');
ip('link', 'add', ifName, 'type', 'veth', 'peer', 'name', FAR_END);
ip('link', 'set', FAR_END, 'mtu', MTU_MAX, 'up');
ip('link', 'set', ifName, 'up');
const posix = loadPosix('open a packet socket for the guest');
const packet = posix.openPacketSocket(FAR_END, undefined, true);
posix.sendFd(SOCKET_FD, packet);
posix.close(packet);
process.stdout.write('ready\n');
process.stdin.on('end', () => process.exit(0)).resume();
