/**
 * System calls by number, for what libc has no function for, or only for the calling thread. Everything here is about
 * the calling thread alone, unless it says otherwise: threads and programs that it starts inherit it.
 */
import { PosixError } from '../errors.ts';
import { bindLibc, type Libc, type SyscallArgument, THIS_HOST } from '../libc.ts';
import { CALLS } from './calls.ts';
import { type Architecture, numberOn, type SyscallNumbers } from './syscall-filter.ts';

/** Arrays that koffi gives the address of must be larger than what V8 moves. */
const NEVER_MOVED = 128;

export class Kernel {
  readonly arch: Architecture;
  readonly libc: Libc;

  /** @throws NativeUnavailableError */
  constructor() {
    this.libc = bindLibc('leave rights that hawser does not need', '', THIS_HOST);
    this.arch = THIS_HOST.arch === 'arm64' ? 'arm64' : 'x64';
  }

  /** @returns its result, or -errno */
  try(numbers: SyscallNumbers, ...args: readonly SyscallArgument[]): number {
    const result = this.libc.syscall(numberOn(this.arch, numbers), ...args);
    return result === -1 ? -this.libc.errno() : result;
  }

  /** @throws PosixError */
  call(what: string, numbers: SyscallNumbers, ...args: readonly SyscallArgument[]): number {
    const result = this.try(numbers, ...args);
    if (result < 0) throw new PosixError(`cannot ${what}`, -result);
    return result;
  }

  prctl(what: string, option: number, ...args: readonly SyscallArgument[]): number {
    return this.call(what, CALLS.prctl, option, ...args);
  }

  /** Valid as long as `memory` is referenced, which must be made by {@link memory}. */
  address(memory: DataView<ArrayBuffer>): bigint {
    return this.libc.address(new Uint8Array(memory.buffer));
  }
}

/** Zeroed memory for a call, of at least `len` bytes. */
export const memory = (len: number): DataView<ArrayBuffer> =>
  new DataView(new ArrayBuffer(Math.max(len, NEVER_MOVED)));
