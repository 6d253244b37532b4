/** Changes of the host's links, addresses and routes, as events of rtnetlink(7). What has changed is not looked at. */
import { AF_NETLINK, EAGAIN, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_RAW } from './constants.ts';
import { PosixError } from './errors.ts';
import type { Libc } from './libc.ts';
import type { Posix } from './posix.ts';
import { type Watch, watchReadable } from './watch.ts';

const NETLINK_ROUTE = 0;
/** RTMGRP_LINK, IPV4_IFADDR, IPV4_ROUTE, IPV6_IFADDR, IPV6_ROUTE. */
const GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
const SOCKADDR_NL_LEN = 12;
/** A message more than fills it: the rest of that is lost. */
const ROOM = 4_096;
const READS_MAX = 64;

/** See `Posix.openRouteEvents`. */
export function openRouteEvents(c: Libc): number {
  const fd = c.socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) throw new PosixError('cannot open a netlink socket', c.errno());
  const address = new DataView(new ArrayBuffer(SOCKADDR_NL_LEN));
  address.setUint16(0, AF_NETLINK, true);
  address.setUint32(8, GROUPS, true);
  if (c.bind(fd, new Uint8Array(address.buffer), SOCKADDR_NL_LEN) < 0) {
    const error = new PosixError('cannot listen for changes of routes', c.errno());
    c.close(fd);
    throw error;
  }
  return fd;
}

/**
 * Call `onChange` for what has changed since the last call, mostly once. Nothing here keeps the process up.
 *
 * @throws PosixError, NativeUnavailableError
 */
export function watchRoutes(posix: Posix, onChange: () => void): Watch {
  const bytes = new Uint8Array(ROOM);
  const watch = watchReadable(posix.openRouteEvents(), () => {
    // ENOBUFS says that events were lost, which is a change too.
    for (let i = 0; i < READS_MAX && posix.read(watch.fd, bytes, 0, ROOM) !== -EAGAIN; i++);
    onChange();
  });
  watch.unref();
  return watch;
}
