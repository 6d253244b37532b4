/** Filters of system calls (seccomp(2)). They can be added to, never taken away. */
import { encodeProgram, INSTRUCTION_LEN } from './bpf.ts';
import { CALLS } from './calls.ts';
import { type Kernel, memory } from './kernel.ts';
import { assembleFilter, type SyscallPolicy } from './syscall-filter.ts';

const PR_SET_NO_NEW_PRIVS = 38;
const SET_MODE_FILTER = 1;
const FLAG_TSYNC = 1 << 0;
/** What is refused is logged, as far as kernel.seccomp.actions_logged allows. */
const FLAG_LOG = 1 << 1;
/**
 * Without it, Linux before 5.16 has the processor speculate less in a filtered process. That protects from code which runs
 * in the process and is not trusted; here none is.
 */
const FLAG_SPEC_ALLOW = 1 << 2;
/** Without it a thread that cannot follow makes the call succeed, with that thread's id. */
const FLAG_TSYNC_ESRCH = 1 << 4;

/** Programs that are started get no rights from their files: set-user-ID bits, file capabilities. */
export function forbidNewPrivileges(kernel: Kernel): void {
  kernel.prctl('set no_new_privs', PR_SET_NO_NEW_PRIVS, 1);
}

/** @param threads `all`: of the process, with `no_new_privs` */
export function filterSystemCalls(
  kernel: Kernel,
  policy: SyscallPolicy,
  threads: 'this' | 'all',
): void {
  const program = encodeProgram(assembleFilter(policy, kernel.arch));
  const header = memory(16); // struct sock_fprog
  header.setUint16(0, program.length / INSTRUCTION_LEN, true);
  header.setBigUint64(8, kernel.libc.address(program), true);
  const flags = threads === 'all' ? FLAG_TSYNC | FLAG_TSYNC_ESRCH : 0;
  kernel.call(
    'filter system calls',
    CALLS.seccomp,
    SET_MODE_FILTER,
    flags | FLAG_LOG | FLAG_SPEC_ALLOW,
    kernel.address(header),
  );
}
