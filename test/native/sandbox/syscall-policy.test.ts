import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { encodeProgram, INSTRUCTIONS_MAX } from '../../../src/native/sandbox/bpf.ts';
import { CALLS } from '../../../src/native/sandbox/calls.ts';
import { SERVICE_CALLS } from '../../../src/native/sandbox/service-calls.ts';
import {
  ALLOW,
  type Architecture,
  assembleFilter,
  failWith,
  KILL_PROCESS,
  numberOn,
  type SyscallNumbers,
} from '../../../src/native/sandbox/syscall-filter.ts';
import { SERVICE_POLICY, START_POLICY } from '../../../src/native/sandbox/syscall-policy.ts';
import { itNeeding } from '../../support/requirements.ts';
import { interpret } from './bpf-interpreter.ts';

const AUDIT_ARCH = { x64: 0xc000003e, arm64: 0xc00000b7 } as const;
const ARCHITECTURES = ['x64', 'arm64'] as const;
const EPERM = failWith(1);
const ENOSYS = failWith(38);
const EAFNOSUPPORT = failWith(97);

/** Of pthread_create, and of fork. */
const THREAD = 0x3d0f00n;
const FORK = 17n;
const NEWUSER = 0x1000_0000n;

const POLICIES = { start: START_POLICY, service: SERVICE_POLICY };
type Stage = keyof typeof POLICIES;

const PROGRAMS = new Map<string, Uint8Array>();

function verdict(
  stage: Stage,
  arch: Architecture,
  numbers: SyscallNumbers,
  ...args: bigint[]
): number {
  const key = `${stage} ${arch}`;
  const program = PROGRAMS.get(key) ?? encodeProgram(assembleFilter(POLICIES[stage], arch));
  PROGRAMS.set(key, program);
  return interpret(program, { number: numberOn(arch, numbers), arch: AUDIT_ARCH[arch], args });
}

const ROWS: readonly [string, SyscallNumbers, readonly bigint[], number, number][] = [
  // call, numbers, arguments, verdict at the start, verdict in service
  ['read', SERVICE_CALLS.read, [], ALLOW, ALLOW],
  ['openat2', SERVICE_CALLS.openat2, [], ALLOW, ALLOW],
  ['futex', SERVICE_CALLS.futex, [], ALLOW, ALLOW],
  ['pkey_mprotect', SERVICE_CALLS.pkey_mprotect, [], ALLOW, ALLOW],
  ['clone of a thread', CALLS.clone, [THREAD], ALLOW, ALLOW],
  ['clone of a process', CALLS.clone, [FORK], ALLOW, EPERM],
  ['clone into a user namespace', CALLS.clone, [FORK | NEWUSER], EPERM, EPERM],
  ['clone of a thread into a namespace', CALLS.clone, [THREAD | NEWUSER], EPERM, EPERM],
  ['clone3', CALLS.clone3, [], ENOSYS, ENOSYS],
  ['io_uring_setup', CALLS.io_uring_setup, [], ENOSYS, ENOSYS],
  ['io_uring_enter', CALLS.io_uring_enter, [], ENOSYS, ENOSYS],
  ['io_uring_register', CALLS.io_uring_register, [], ENOSYS, ENOSYS],
  ['execve', CALLS.execve, [], ALLOW, KILL_PROCESS],
  ['execveat', CALLS.execveat, [], ALLOW, KILL_PROCESS],
  ['ptrace', CALLS.ptrace, [], KILL_PROCESS, KILL_PROCESS],
  ['bpf', CALLS.bpf, [], KILL_PROCESS, KILL_PROCESS],
  ['mount', CALLS.mount, [], KILL_PROCESS, KILL_PROCESS],
  ['umount2', CALLS.umount2, [], KILL_PROCESS, KILL_PROCESS],
  ['fsmount', CALLS.fsmount, [], KILL_PROCESS, KILL_PROCESS],
  ['pivot_root', CALLS.pivot_root, [], KILL_PROCESS, KILL_PROCESS],
  ['finit_module', CALLS.finit_module, [], KILL_PROCESS, KILL_PROCESS],
  ['unshare', CALLS.unshare, [NEWUSER], EPERM, EPERM],
  ['setns', CALLS.setns, [], EPERM, EPERM],
  ['keyctl', CALLS.keyctl, [], EPERM, EPERM],
  ['perf_event_open', CALLS.perf_event_open, [], EPERM, EPERM],
  ['userfaultfd', CALLS.userfaultfd, [], EPERM, EPERM],
  ['process_vm_writev', CALLS.process_vm_writev, [], EPERM, EPERM],
  ['socket of IPv6', CALLS.socket, [10n], ALLOW, ALLOW],
  ['socket of AF_ALG', CALLS.socket, [38n], ALLOW, EAFNOSUPPORT],
  ['ioctl FIONREAD', CALLS.ioctl, [1n, 0x541bn], ALLOW, ALLOW],
  ['ioctl TIOCSTI', CALLS.ioctl, [1n, 0x5412n], ALLOW, EPERM],
  ['ioctl TIOCSTI with bits above 32', CALLS.ioctl, [1n, 0xffff_0000_5412n], ALLOW, EPERM],
  ['one that nobody knows', [999, 999], [], ALLOW, ENOSYS],
];

describe('the filters of system calls', () => {
  for (const arch of ARCHITECTURES) {
    for (const [name, numbers, args, start, service] of ROWS) {
      it(`${arch}: ${name}`, () => {
        assert.equal(verdict('start', arch, numbers, ...args), start, 'start');
        assert.equal(verdict('service', arch, numbers, ...args), service, 'service');
      });
    }

    it(`${arch}: calls of another architecture do not exist`, () => {
      const other = AUDIT_ARCH[arch === 'x64' ? 'arm64' : 'x64'];
      const i386 = 0x40000003;
      for (const policy of [START_POLICY, SERVICE_POLICY]) {
        const program = encodeProgram(assembleFilter(policy, arch));
        for (const foreign of [other, i386]) {
          for (const number of [0, 11, 59, 221]) {
            assert.equal(interpret(program, { number, arch: foreign }), ENOSYS);
          }
        }
      }
    });

    it(`${arch}: every program fits`, () => {
      for (const policy of [START_POLICY, SERVICE_POLICY]) {
        assert.ok(assembleFilter(policy, arch).length < INSTRUCTIONS_MAX);
      }
    });
  }

  it('x64: the same calls by their x32 numbers do not exist', () => {
    for (const numbers of [SERVICE_CALLS.read, CALLS.execve, CALLS.mount]) {
      const x32: SyscallNumbers = [0x4000_0000 + numberOn('x64', numbers), -1];
      assert.equal(verdict('start', 'x64', x32), ENOSYS);
      assert.equal(verdict('service', 'x64', x32), ENOSYS);
    }
  });

  it('no number is in both tables, or twice in one', () => {
    for (const arch of ARCHITECTURES) {
      const numbers = [...Object.entries(SERVICE_CALLS), ...Object.entries(CALLS)]
        .filter(([name]) => !['capget', 'fcntl', 'pipe2', 'prctl'].includes(name))
        .map(([, pair]) => numberOn(arch, pair))
        .filter((number) => number >= 0);
      assert.equal(new Set(numbers).size, numbers.length);
    }
  });

  itNeeding("numbers are those of the system's headers", ['linux', 'gcc'], () => {
    const args = ['-E', '-dM', '-include', 'asm/unistd.h', '-x', 'c', '/dev/null'];
    const text = execFileSync('gcc', args, { encoding: 'latin1' });
    const known = new Map(
      [...text.matchAll(/#define __NR_(\w+) (\d+)/g)].map(([, name, number]) => [name, number]),
    );
    assert.ok(known.size > 200);
    const arch = process.arch === 'arm64' ? 'arm64' : 'x64';
    for (const [name, pair] of [...Object.entries(SERVICE_CALLS), ...Object.entries(CALLS)]) {
      const number = known.get(name);
      if (number !== undefined)
        assert.equal(`${name} ${numberOn(arch, pair)}`, `${name} ${number}`);
    }
  });
});
