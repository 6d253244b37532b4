import { createHash } from 'node:crypto';
import * as n from './constants.ts';
import { PosixError } from './errors.ts';
import { checkIfName, makeIfreq } from './ifreq.ts';
import type { Libc } from './libc.ts';
import { inNetns } from './netns.ts';
import type { Tap, TapOptions } from './posix.ts';
import { VNET_HDR_LEN } from './vnet-header.ts';

/** See `Posix.openTap`. */
export function openTap(c: Libc, options: TapOptions): Tap {
  checkIfName(options.name);
  const open = (): Tap => openHere(c, options);
  return options.netns === undefined ? open() : inNetns(c, options.netns, open);
}

function openHere(c: Libc, { name, netns, vnetHdr, mtu }: TapOptions): Tap {
  const fd = c.open('/dev/net/tun', n.O_RDWR | n.O_NONBLOCK | n.O_CLOEXEC);
  if (fd < 0) {
    throw new PosixError(
      'cannot open /dev/net/tun',
      c.errno(),
      'load the module tun and allow this user to read and write the device',
    );
  }
  try {
    const isNew = c.ifNameToIndex(name) === 0;
    const ifreq = makeIfreq(name);
    const flags = n.IFF_TAP | n.IFF_NO_PI | (vnetHdr ? n.IFF_VNET_HDR : 0);
    ifreq.view.setUint16(n.IFNAMSIZ, flags, true);
    if (c.ioctl(fd, n.TUNSETIFF, ifreq.bytes) < 0) {
      const errno = c.errno();
      throw new PosixError(`cannot attach to TAP ${name}`, errno, attachAdvice(errno));
    }
    if (vnetHdr) leaveWorkToKernel(c, fd, name);
    bringUp(c, name, mtu, isNew ? tapAddress(name, netns) : undefined);
    return { fd, ifName: name, vnetHdrLen: vnetHdr ? VNET_HDR_LEN : 0 };
  } catch (error) {
    c.close(fd);
    throw error;
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

/**
 * The Ethernet address of an interface that we create, always the same, so that its lease is too: locally
 * administered, derived from the names of the interface and of its namespace.
 */
export function tapAddress(name: string, netns: string | undefined): Uint8Array {
  const mac = createHash('sha256')
    .update(`${name}@${netns ?? ''}`)
    .digest()
    .subarray(0, 6);
  mac[0] = ((mac[0] ?? 0) & 0xfc) | 0x02;
  return mac;
}

/** @param mac absent: keep the interface's own */
function bringUp(c: Libc, name: string, mtu: number, mac: Uint8Array | undefined): void {
  const control = c.socket(n.AF_INET, n.SOCK_DGRAM | n.SOCK_CLOEXEC, 0);
  if (control < 0) fail(c, 'cannot open a control socket');
  try {
    if (mac !== undefined) setAddress(c, control, name, mac);
    const ifreq = makeIfreq(name);
    ifreq.view.setInt32(n.IFNAMSIZ, mtu, true);
    if (c.ioctl(control, n.SIOCSIFMTU, ifreq.bytes) < 0) {
      fail(c, `cannot set the MTU of TAP ${name} to ${mtu}`);
    }
    ifreq.view.setInt32(n.IFNAMSIZ, 0, true);
    if (c.ioctl(control, n.SIOCGIFFLAGS, ifreq.bytes) < 0) {
      fail(c, `cannot read the flags of TAP ${name}`);
    }
    ifreq.view.setUint16(n.IFNAMSIZ, ifreq.view.getUint16(n.IFNAMSIZ, true) | n.IFF_UP, true);
    if (c.ioctl(control, n.SIOCSIFFLAGS, ifreq.bytes) < 0) {
      fail(c, `cannot bring TAP ${name} up`);
    }
  } finally {
    c.close(control);
  }
}

function setAddress(c: Libc, control: number, name: string, mac: Uint8Array): void {
  const ifreq = makeIfreq(name);
  ifreq.view.setUint16(n.IFNAMSIZ, n.ARPHRD_ETHER, true);
  ifreq.bytes.set(mac, n.IFNAMSIZ + 2);
  if (c.ioctl(control, n.SIOCSIFHWADDR, ifreq.bytes) < 0) {
    fail(c, `cannot set the Ethernet address of TAP ${name}`);
  }
}

function fail(c: Libc, what: string): never {
  const errno = c.errno();
  throw new PosixError(what, errno, rightsAdvice(errno));
}
