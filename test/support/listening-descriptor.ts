/** Sockets that listen and from which nobody here accepts, as a supervisor has them for the programs that it starts. */
import assert from 'node:assert/strict';
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  SOCK_CLOEXEC,
  SOCK_STREAM,
} from '../../src/native/constants.ts';
import { bindLibc, THIS_HOST } from '../../src/native/libc.ts';
import { sockaddrOf, unixSockaddr } from '../../src/native/sockaddr.ts';
import { parseAddress } from '../../src/services/address-text.ts';

const c = bindLibc('test a socket', '', THIS_HOST);
const BACKLOG = 16;

/** @returns a descriptor, which is the caller's */
export const listenUnix = (path: string): number => listening(AF_UNIX, unixSockaddr(path));

/** @returns a descriptor, which is the caller's */
export function listenTcp(host: string, port: number): number {
  const address = parseAddress(host);
  assert.ok(address !== undefined);
  const { family } = address;
  return listening(family === 4 ? AF_INET : AF_INET6, sockaddrOf(address, port, family));
}

function listening(family: number, address: Uint8Array): number {
  const fd = c.socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert.ok(fd >= 0);
  assert.equal(c.bind(fd, address, address.length), 0, `errno ${c.errno()}`);
  assert.equal(c.listen(fd, BACKLOG), 0);
  return fd;
}
