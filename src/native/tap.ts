import * as n from './constants.ts';
import { PosixError } from './errors.ts';
import { checkIfName, makeIfreq } from './ifreq.ts';
import type { Libc } from './libc.ts';
import { inNetns } from './netns.ts';
import type { Tap, TapOptions, TapTools } from './posix.ts';
import { tapAddress } from './tap-address.ts';
import { VNET_HDR_LEN } from './vnet-header.ts';

/** See `Posix.openTap`. */
export function openTap(c: Libc, options: TapOptions): Tap {
  checkIfName(options.name);
  return makeTap(c, openTapTools(c, options.netns), options);
}

/** See `Posix.openTapTools`. */
export function openTapTools(c: Libc, netns: string | undefined): TapTools {
  return netns === undefined ? openTools(c) : inNetns(c, netns, () => openTools(c));
}

function openTools(c: Libc): TapTools {
  const tunnel = c.open('/dev/net/tun', n.O_RDWR | n.O_NONBLOCK | n.O_CLOEXEC);
  if (tunnel < 0) {
    throw new PosixError(
      'cannot open /dev/net/tun',
      c.errno(),
      'load the module tun and allow this user to read and write the device',
    );
  }
  const control = c.socket(n.AF_INET, n.SOCK_DGRAM | n.SOCK_CLOEXEC, 0);
  if (control >= 0) return { tunnel, control };
  const errno = c.errno();
  c.close(tunnel);
  throw new PosixError('cannot open a control socket', errno);
}

/** See `Posix.makeTap`. */
export function makeTap(c: Libc, tools: TapTools, options: TapOptions): Tap {
  const { tunnel: fd, control } = tools;
  const { name, netns, vnetHdr, mtu, guest } = options;
  try {
    checkIfName(name);
    const isNew = !exists(c, control, name);
    const ifreq = makeIfreq(name);
    const flags = n.IFF_TAP | n.IFF_NO_PI | (vnetHdr ? n.IFF_VNET_HDR : 0);
    ifreq.view.setUint16(n.IFNAMSIZ, flags, true);
    if (c.ioctl(fd, n.TUNSETIFF, ifreq.bytes) < 0) {
      const errno = c.errno();
      throw new PosixError(`cannot attach to TAP ${name}`, errno, attachAdvice(errno));
    }
    if (vnetHdr) leaveWorkToKernel(c, fd, name);
    const mac = guest?.mac ?? (isNew ? tapAddress(name, netns) : undefined);
    if (mac !== undefined) setEthernetAddress(c, control, name, mac);
    if (options.up !== false) bringUp(c, control, name, mtu);
    if (guest !== undefined) configure(c, control, name, guest);
    return { fd, ifName: name, vnetHdrLen: vnetHdr ? VNET_HDR_LEN : 0 };
  } catch (error) {
    c.close(fd);
    throw error;
  } finally {
    c.close(control);
  }
}

function attachAdvice(errno: number): string {
  switch (errno) {
    case n.EBUSY:
      return 'another program has it open';
    case n.EINVAL:
      return 'an interface of that name is no TAP with a single queue; choose another name';
    default:
      return rightsAdvice(errno);
  }
}

const rightsAdvice = (errno: number): string =>
  errno === n.EPERM
    ? 'permission is missing: it needs root, or CAP_NET_ADMIN in that network namespace'
    : '';

const exists = (c: Libc, control: number, name: string): boolean =>
  c.ioctl(control, n.SIOCGIFINDEX, makeIfreq(name).bytes) >= 0;

/** The kernel's side of the TAP may send us TCP segments of up to 64 KiB without checksum. */
function leaveWorkToKernel(c: Libc, fd: number, name: string): void {
  const size = new Uint8Array(4);
  size[0] = VNET_HDR_LEN;
  if (c.ioctl(fd, n.TUNSETVNETHDRSZ, size) < 0) {
    throw new PosixError(`cannot set the vnet header of TAP ${name}`, c.errno());
  }
  if (c.ioctlValue(fd, n.TUNSETOFFLOAD, n.TUN_F_CSUM | n.TUN_F_TSO4 | n.TUN_F_TSO6) < 0) {
    throw new PosixError(`cannot set the offloads of TAP ${name}`, c.errno());
  }
}

function bringUp(c: Libc, control: number, name: string, mtu: number): void {
  const ifreq = makeIfreq(name);
  ifreq.view.setInt32(n.IFNAMSIZ, mtu, true);
  if (c.ioctl(control, n.SIOCSIFMTU, ifreq.bytes) < 0) {
    fail(c, `cannot set the MTU of TAP ${name} to ${mtu}`);
  }
  setUp(c, control, name);
}

function setUp(c: Libc, control: number, name: string): void {
  const ifreq = makeIfreq(name);
  if (c.ioctl(control, n.SIOCGIFFLAGS, ifreq.bytes) < 0) {
    fail(c, `cannot read the flags of ${name}`);
  }
  ifreq.view.setUint16(n.IFNAMSIZ, ifreq.view.getUint16(n.IFNAMSIZ, true) | n.IFF_UP, true);
  if (c.ioctl(control, n.SIOCSIFFLAGS, ifreq.bytes) < 0) fail(c, `cannot bring ${name} up`);
}

function setEthernetAddress(c: Libc, control: number, name: string, mac: Uint8Array): void {
  const ifreq = makeIfreq(name);
  ifreq.view.setUint16(n.IFNAMSIZ, n.ARPHRD_ETHER, true);
  ifreq.bytes.set(mac, n.IFNAMSIZ + 2);
  if (c.ioctl(control, n.SIOCSIFHWADDR, ifreq.bytes) < 0) {
    fail(c, `cannot set the Ethernet address of TAP ${name}`);
  }
}

/** netdevice(7): the loopback up, an address, a default route. */
function configure(
  c: Libc,
  control: number,
  name: string,
  { address, prefixLen, gateway }: NonNullable<TapOptions['guest']>,
): void {
  setUp(c, control, 'lo');
  const mask = prefixLen === 0 ? 0 : -1 << (32 - prefixLen);
  for (const [request, word] of [
    [n.SIOCSIFADDR, address.d],
    [n.SIOCSIFNETMASK, mask],
  ] as const) {
    const ifreq = makeIfreq(name);
    setSockaddr(ifreq.view, n.IFNAMSIZ, word);
    if (c.ioctl(control, request, ifreq.bytes) < 0) {
      fail(c, `cannot give TAP ${name} the address ${address}/${prefixLen}`);
    }
  }
  const route = new DataView(new ArrayBuffer(n.RTENTRY_LEN));
  setSockaddr(route, n.RTENTRY_DST, 0);
  setSockaddr(route, n.RTENTRY_GATEWAY, gateway.d);
  setSockaddr(route, n.RTENTRY_GENMASK, 0);
  route.setUint16(n.RTENTRY_FLAGS, n.RTF_UP | n.RTF_GATEWAY, true);
  if (c.ioctl(control, n.SIOCADDRT, new Uint8Array(route.buffer)) < 0) {
    fail(c, `cannot make ${gateway} the default route of TAP ${name}`);
  }
}

/** Of IPv4, without a port. */
function setSockaddr(view: DataView, at: number, word: number): void {
  view.setUint16(at, n.AF_INET, true);
  view.setInt32(at + 4, word);
}

function fail(c: Libc, what: string): never {
  const errno = c.errno();
  throw new PosixError(what, errno, rightsAdvice(errno));
}
