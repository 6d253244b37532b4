/** The C library, bound through koffi. Nothing outside this folder uses koffi. */
import nodeModule from 'node:module'; // by a name that banners of bundles do not have
import { NativeUnavailableError } from './errors.ts';
import { CALLS } from './sandbox/calls.ts';
import { SERVICE_CALLS } from './sandbox/service-calls.ts';
import { startElsewhere } from './start-elsewhere.ts';

/** The environment that {@link bindLibc} needs; an argument, so that tests can change it. */
export interface NativeHost {
  readonly platform: string;
  readonly arch: string;
  readonly requireKoffi: () => Koffi;
  readonly requireNodeVsock: () => unknown;
}

/** The part of koffi in use. */
export interface Koffi {
  load(path: null): { func<F extends (...args: never) => unknown>(definition: string): F & Async };
  address(bytes: Uint8Array): bigint;
  view(address: bigint, len: number): ArrayBuffer;
  errno(): number;
}

/** The same call by a thread of the pool: the arguments, none of them memory, then what is called with its result. */
interface Async {
  async(...args: readonly unknown[]): void;
}

/** In a bundle that is CommonJS there is no `import.meta.url`. */
const requireHere = (): NodeJS.Require =>
  nodeModule.createRequire(typeof __filename === 'string' ? __filename : import.meta.url);

export const THIS_HOST: NativeHost = {
  platform: process.platform,
  arch: process.arch,
  requireKoffi: () => requireHere()('koffi'),
  requireNodeVsock: () => requireHere()('node-vsock'),
};

/**
 * Calls as in C: -1 and `errno()` on failure. A `Uint8Array` is passed as the address of its bytes,
 * without a copy.
 */
export interface Libc {
  errno(): number;
  /** Valid as long as the array is referenced; only for arrays above 64 bytes, which never move. */
  address(bytes: Uint8Array): bigint;
  /** External memory, as an array; the process crashes when it is used after `munmap`. */
  view(address: number, len: number): ArrayBuffer;
  open(path: string, flags: number): number;
  close(fd: number): number;
  read(fd: number, bytes: Uint8Array, len: number): number;
  write(fd: number, bytes: Uint8Array, len: number): number;
  ioctl(fd: number, request: number, arg: Uint8Array): number;
  ioctlValue(fd: number, request: number, arg: number): number;
  fcntl(fd: number, command: number, arg: number): number;
  /** By another thread. @param done called with the result, later; -1 also where no thread can take it */
  fcntlElsewhere(fd: number, command: number, arg: number, done: (result: number) => void): void;
  flock(fd: number, operation: number): number;
  setns(fd: number, type: number): number;
  socket(domain: number, type: number, protocol: number): number;
  socketpair(domain: number, type: number, protocol: number, fds: Uint8Array): number;
  bind(fd: number, address: Uint8Array, len: number): number;
  connect(fd: number, address: Uint8Array, len: number): number;
  listen(fd: number, backlog: number): number;
  /** @param address 0: nobody asks for it */
  accept4(fd: number, address: number, len: number, flags: number): number;
  shutdown(fd: number, how: number): number;
  setsockopt(fd: number, level: number, option: number, value: Uint8Array, len: number): number;
  /** @param len one word: room in `value`, and then what was written */
  getsockopt(fd: number, level: number, option: number, value: Uint8Array, len: Uint8Array): number;
  recv(fd: number, bytes: Uint8Array, len: number, flags: number): number;
  recvmsg(fd: number, message: Uint8Array, flags: number): number;
  sendmsg(fd: number, message: Uint8Array, flags: number): number;
  sendmmsg(fd: number, messages: Uint8Array, count: number, flags: number): number;
  /** @param timeout 0: none */
  recvmmsg(fd: number, messages: Uint8Array, count: number, flags: number, timeout: number): number;
  getsockname(fd: number, address: Uint8Array, len: Uint8Array): number;
  ifNameToIndex(name: string): number;
  poll(entries: Uint8Array, count: number, timeoutMs: number): number;
  mmap(address: number, len: number, prot: number, flags: number, fd: number, off: number): number;
  munmap(address: number, len: number): number;
  madvise(bytes: Uint8Array, len: number, advice: number): number;
  getpagesize(): number;
  /** Does nothing where the C library has no such call: musl. */
  mallocTrim(pad: number): number;
  /** A system call by its number, for those that libc has no function for. Addresses are those of {@link address}. */
  syscall(number: number, ...args: readonly SyscallArgument[]): number;
  /** @returns the address of a `struct passwd`, valid until the next call; 0n when there is no such user */
  getpwnam(name: string): bigint;
  getpwuid(uid: number): bigint;
  // Addresses are numbers: of arrays above 64 bytes, which never move.
  /** @param flags RWF_... of preadv2(2), at the file's own position */
  preadv2(fd: number, iov: number, count: number, flags: number): number;
  /** @param context where the kernel puts its 8 bytes */
  ioSetup(events: number, context: number): number;
  ioSubmit(context: number, count: number, requests: number): number;
  /** Without waiting. */
  ioGetEvents(context: number, max: number, events: number): number;
}

export type SyscallArgument = number | bigint;

/** @param instead what works without native calls, as in `use a qemu: link instead`; '' for nothing */
export function bindLibc(wanted: string, instead: string, host: NativeHost): Libc {
  // Constants and structures are those of 64-bit little-endian Linux.
  if (host.platform !== 'linux' || (host.arch !== 'x64' && host.arch !== 'arm64')) {
    const here = `${host.platform} on ${host.arch}`;
    throw new NativeUnavailableError(
      wanted,
      `this needs Linux on x64 or arm64, and here is ${here}${instead === '' ? '' : `; ${instead}`}`,
    );
  }
  let koffi: Koffi;
  try {
    koffi = host.requireKoffi();
  } catch (cause) {
    const why = `the optional package koffi is not installed; install it with \`npm install koffi\``;
    const either = instead === '' ? why : `${why}, or ${instead}`;
    throw new NativeUnavailableError(wanted, either, { cause });
  }
  const arch = host.arch === 'arm64' ? 1 : 0;
  const c = koffi.load(null); // the symbols of this process: glibc and musl alike
  const syscall: (...all: SyscallArgument[]) => number = c.func(
    'long syscall(long number, long a, long b, long c, long d, long e, long f)',
  );
  const fcntl = c.func<Libc['fcntl']>('int fcntl(int fd, int command, long arg)');
  const getpwnam: (name: string) => number = c.func('long getpwnam(const char *name)');
  const getpwuid: (uid: number) => number = c.func('long getpwuid(unsigned int uid)');
  return {
    errno: () => koffi.errno(),
    address: (bytes) => koffi.address(bytes),
    view: (address, len) => koffi.view(BigInt(address), len),
    open: c.func('int open(const char *path, int flags)'),
    close: c.func('int close(int fd)'),
    read: c.func('long read(int fd, void *bytes, size_t len)'),
    write: c.func('long write(int fd, const void *bytes, size_t len)'),
    ioctl: c.func('int ioctl(int fd, unsigned long request, void *arg)'),
    ioctlValue: c.func('int ioctl(int fd, unsigned long request, unsigned long arg)'),
    fcntl,
    fcntlElsewhere: (fd, command, arg, done) =>
      startElsewhere(
        () => fcntl.async(fd, command, arg, (_: unknown, result: number) => done(result)),
        () => done(-1),
      ),
    flock: c.func('int flock(int fd, int operation)'),
    setns: c.func('int setns(int fd, int type)'),
    socket: c.func('int socket(int domain, int type, int protocol)'),
    socketpair: c.func('int socketpair(int domain, int type, int protocol, void *fds)'),
    shutdown: c.func('int shutdown(int fd, int how)'),
    bind: c.func('int bind(int fd, const void *address, unsigned int len)'),
    connect: c.func('int connect(int fd, const void *address, unsigned int len)'),
    listen: c.func('int listen(int fd, int backlog)'),
    accept4: c.func('int accept4(int fd, long address, long len, int flags)'),
    setsockopt: c.func(
      'int setsockopt(int fd, int level, int option, const void *value, unsigned int len)',
    ),
    getsockopt: c.func('int getsockopt(int fd, int level, int option, void *value, void *len)'),
    recv: c.func('long recv(int fd, void *bytes, size_t len, int flags)'),
    recvmsg: c.func('long recvmsg(int fd, void *message, int flags)'),
    sendmsg: c.func('long sendmsg(int fd, const void *message, int flags)'),
    sendmmsg: c.func('int sendmmsg(int fd, void *messages, unsigned int count, int flags)'),
    recvmmsg: c.func(
      'int recvmmsg(int fd, void *messages, unsigned int count, int flags, long timeout)',
    ),
    getsockname: c.func('int getsockname(int fd, void *address, void *len)'),
    ifNameToIndex: c.func('unsigned int if_nametoindex(const char *name)'),
    poll: c.func('int poll(void *entries, unsigned long count, int timeout)'),
    // Addresses of a 64-bit process are below 2^53 and fit a number; -1 means failure.
    mmap: c.func('long mmap(long address, size_t len, int prot, int flags, int fd, long off)'),
    munmap: c.func('int munmap(long address, size_t len)'),
    madvise: c.func('int madvise(void *bytes, size_t len, int advice)'),
    getpagesize: c.func('int getpagesize()'),
    mallocTrim: bindMallocTrim(c),
    syscall: (number, a = 0, b = 0, c3 = 0, d = 0, e = 0) => syscall(number, a, b, c3, d, e, 0),
    getpwnam: (name) => BigInt(getpwnam(name)),
    getpwuid: (uid) => BigInt(getpwuid(uid)),
    preadv2: (fd, iov, count, flags) =>
      syscall(SERVICE_CALLS.preadv2[arch], fd, iov, count, -1, 0, flags),
    ioSetup: (events, context) => syscall(CALLS.io_setup[arch], events, context, 0, 0, 0, 0),
    ioSubmit: (context, count, requests) =>
      syscall(SERVICE_CALLS.io_submit[arch], context, count, requests, 0, 0, 0),
    ioGetEvents: (context, max, events) =>
      syscall(SERVICE_CALLS.io_getevents[arch], context, 0, max, events, 0, 0),
  };
}

function bindMallocTrim(c: ReturnType<Koffi['load']>): Libc['mallocTrim'] {
  try {
    return c.func('int malloc_trim(size_t pad)');
  } catch {
    return () => 0;
  }
}
