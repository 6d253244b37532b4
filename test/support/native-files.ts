/** Descriptors of kinds that Node cannot open: memory files, event counters, sockets that linger. */
import assert from 'node:assert/strict';
import { ftruncateSync } from 'node:fs';
import { THIS_HOST } from '../../src/native/libc.ts';

export const MFD_ALLOW_SEALING = 2;
export const MFD_HUGETLB = 4;
export const F_SEAL_SHRINK = 2;

const F_SETFL = 4;
const F_ADD_SEALS = 1033;
const SOL_SOCKET = 1;
const SO_LINGER = 13;

const c = THIS_HOST.requireKoffi().load(null);
const call = <F extends (...args: never) => unknown>(definition: string): F =>
  c.func<F>(definition);

const memfdCreate = call<(name: string, flags: number) => number>(
  'int memfd_create(const char *name, unsigned int flags)',
);
const eventfdCall = call<(value: number, flags: number) => number>(
  'int eventfd(unsigned int value, int flags)',
);
const epollCreate = call<(flags: number) => number>('int epoll_create1(int flags)');
const fcntl = call<(fd: number, command: number, arg: number) => number>(
  'int fcntl(int fd, int command, long arg)',
);
const setsockopt = call<
  (fd: number, level: number, option: number, value: Uint8Array, len: number) => number
>('int setsockopt(int fd, int level, int option, const void *value, unsigned int len)');

const opened = (fd: number, what: string): number => {
  assert.ok(fd >= 0, `cannot open ${what}`);
  return fd;
};

/** @param seals added, once it has its length */
export function memoryFile(len: number, flags: number, seals = 0): number {
  const fd = opened(memfdCreate('guest', flags), 'a memory file');
  ftruncateSync(fd, len);
  if (seals !== 0) assert.equal(fcntl(fd, F_ADD_SEALS, seals), 0);
  return fd;
}

/** Of 64 bits; reads and writes wait. */
export const eventCounter = (): number => opened(eventfdCall(0, 0), 'an event counter');
export const epoll = (): number => opened(epollCreate(0), 'an epoll');

/** O_NONBLOCK belongs to what the descriptor stands for, in every process that has it. */
export const makeBlocking = (fd: number): void => {
  assert.equal(fcntl(fd, F_SETFL, 0), 0);
};

/** Whoever closes it last waits for what is unsent, for so long. */
export function linger(fd: number, seconds: number): void {
  const value = new Uint8Array(Int32Array.of(1, seconds).buffer);
  assert.equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, value, value.length), 0);
}
