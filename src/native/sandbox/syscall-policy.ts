/**
 * The two filters of the daemon (seccomp(2)).
 *
 * {@link START_POLICY} is in effect from before the second start on, because what it refuses must have been so from the
 * first moment of a process: libuv uses an io_uring that it could make, and aborts when that stops to work. It allows
 * what it does not name, for a start loads and makes what service does not need any more.
 *
 * {@link SERVICE_POLICY} joins it when the daemon is ready, and allows what it names. Calls that it does not know are
 * answered as by a kernel that does not have them: libc and V8 then fall back, as they do on an old one, so that a
 * library's update does not end the daemon. Killed is only who does what can be no mistake.
 */
import { CALLS } from './calls.ts';
import { SERVICE_CALLS } from './service-calls.ts';
import {
  ALLOW,
  failWith,
  KILL_PROCESS,
  type SyscallPolicy,
  type SyscallRule,
} from './syscall-filter.ts';

const EPERM = 1;
const ENOSYS = 38;
const EAFNOSUPPORT = 97;

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET */
const CLONE_NAMESPACES = 0x7e02_0000;
const CLONE_THREAD = 0x0001_0000;

/** AF_UNIX, INET, INET6, NETLINK, PACKET, VSOCK */
const FAMILIES = [1, 2, 10, 16, 17, 40];

/** Push characters into a terminal's input, or its selection: TIOCSTI, TIOCLINUX. */
const TERMINAL_INJECTION = [0x5412, 0x541c];

/** clone3 has its flags in memory, where a filter cannot see them: libc then uses clone. */
const INVISIBLE: SyscallRule = { calls: [CALLS.clone3], verdict: failWith(ENOSYS) };

const IO_URING: SyscallRule = {
  calls: [CALLS.io_uring_setup, CALLS.io_uring_enter, CALLS.io_uring_register],
  verdict: failWith(ENOSYS),
};

const KILLED: SyscallRule = {
  calls: [
    CALLS.ptrace,
    CALLS.bpf,
    ...[CALLS.init_module, CALLS.finit_module, CALLS.delete_module],
    ...[CALLS.mount, CALLS.umount2, CALLS.pivot_root, CALLS.move_mount, CALLS.mount_setattr],
    ...[CALLS.open_tree, CALLS.open_tree_attr],
    ...[CALLS.fsopen, CALLS.fsconfig, CALLS.fsmount, CALLS.fspick],
  ],
  verdict: KILL_PROCESS,
};

const REFUSED: SyscallRule = {
  calls: [
    ...[CALLS.unshare, CALLS.setns, CALLS.chroot],
    ...[CALLS.keyctl, CALLS.add_key, CALLS.request_key],
    ...[CALLS.perf_event_open, CALLS.userfaultfd, CALLS.memfd_secret],
    ...[CALLS.process_vm_readv, CALLS.process_vm_writev, CALLS.process_madvise],
    ...[CALLS.kcmp, CALLS.pidfd_getfd, CALLS.open_by_handle_at],
    ...[CALLS.kexec_load, CALLS.kexec_file_load, CALLS.reboot, CALLS.swapon, CALLS.swapoff],
    ...[CALLS.acct, CALLS.quotactl, CALLS.syslog, CALLS.personality],
    ...[CALLS.settimeofday, CALLS.clock_settime, CALLS.adjtimex, CALLS.clock_adjtime],
  ],
  verdict: failWith(EPERM),
};

export const START_POLICY: SyscallPolicy = {
  rules: [
    IO_URING,
    INVISIBLE,
    KILLED,
    REFUSED,
    {
      calls: [CALLS.clone],
      argument: {
        index: 0,
        tests: [{ when: 'has-any-bit', value: CLONE_NAMESPACES, verdict: failWith(EPERM) }],
      },
      verdict: ALLOW,
    },
  ],
  otherwise: ALLOW,
};

export const SERVICE_POLICY: SyscallPolicy = {
  rules: [
    { calls: Object.values(SERVICE_CALLS), verdict: ALLOW },
    {
      calls: [CALLS.clone],
      argument: {
        index: 0,
        tests: [
          { when: 'has-any-bit', value: CLONE_NAMESPACES, verdict: failWith(EPERM) },
          { when: 'lacks-bits', value: CLONE_THREAD, verdict: failWith(EPERM) },
        ],
      },
      verdict: ALLOW,
    },
    {
      calls: [CALLS.socket, CALLS.socketpair],
      argument: {
        index: 0,
        tests: FAMILIES.map((value) => ({ when: 'equals', value, verdict: ALLOW })),
      },
      verdict: failWith(EAFNOSUPPORT),
    },
    {
      calls: [CALLS.ioctl],
      argument: {
        index: 1,
        tests: TERMINAL_INJECTION.map((value) => ({
          when: 'equals',
          value,
          verdict: failWith(EPERM),
        })),
      },
      verdict: ALLOW,
    },
    { calls: [CALLS.execve, CALLS.execveat], verdict: KILL_PROCESS },
    KILLED,
    { ...REFUSED, calls: [...REFUSED.calls, CALLS.fork, CALLS.vfork] },
  ],
  otherwise: failWith(ENOSYS),
};
