/**
 * Descriptors of processes that cannot pass them on themselves, such as shells: pidfd_getfd(2), of Linux 5.6 and
 * later. Whom the kernel lets trace the other process may do so: here root, and root of a user namespace in that
 * namespace, as both have CAP_SYS_PTRACE there, which Yama and other restrictions of ptrace(2) ask for.
 */
import { once } from '../base/once.ts';
import { PosixError } from './errors.ts';
import { bindLibc, THIS_HOST } from './libc.ts';

// The same on x64 and arm64.
const PIDFD_OPEN = 434;
const PIDFD_GETFD = 438;

const libc = once(() => bindLibc('take a descriptor of another process', '', THIS_HOST));

/**
 * A duplicate of descriptor `fd` of process `pid`, close-on-exec; it is the caller's.
 *
 * @throws NativeUnavailableError
 * @throws PosixError
 */
export function takeDescriptor(pid: number, fd: number): number {
  const c = libc();
  const call = (number: number, ...args: readonly number[]): number => {
    const result = c.syscall(number, ...args);
    if (result >= 0) return result;
    throw new PosixError(`cannot take descriptor ${fd} of process ${pid}`, c.errno());
  };
  const process = call(PIDFD_OPEN, pid, 0);
  try {
    return call(PIDFD_GETFD, process, fd, 0);
  } finally {
    c.close(process);
  }
}
