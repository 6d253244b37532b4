/** From rules about system calls to the program of a seccomp filter. */
import { assert } from '../../base/assert.ts';
import {
  finish,
  IF_ANY_BIT,
  IF_AT_LEAST,
  IF_EQUAL,
  INSTRUCTIONS_MAX,
  type Instruction,
  load,
  require,
} from './bpf.ts';

export type Architecture = 'x64' | 'arm64';

/** On x64 and on arm64; -1 where the architecture has no such call. */
export type SyscallNumbers = readonly [number, number];

export const ALLOW = 0x7fff_0000;
export const KILL_PROCESS = 0x8000_0000;
/** The call fails with this error, and does nothing. */
export const failWith = (errno: number): number => 0x0005_0000 | errno;

/** About the low 32 bits of an argument. */
export interface ArgumentTest {
  readonly when: 'equals' | 'has-any-bit' | 'lacks-bits';
  readonly value: number;
  readonly verdict: number;
}

export interface SyscallRule {
  readonly calls: readonly SyscallNumbers[];
  readonly verdict: number;
  /** Tried in this order, before `verdict`. */
  readonly argument?: { readonly index: number; readonly tests: readonly ArgumentTest[] };
}

export interface SyscallPolicy {
  /** The first about the call decides. */
  readonly rules: readonly SyscallRule[];
  readonly otherwise: number;
}

const ENOSYS = 38;

// struct seccomp_data
const NUMBER = 0;
const ARCHITECTURE = 4;
const argumentOffset = (index: number): number => 16 + 8 * index;

/** AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64 */
const AUDIT_ARCH: Readonly<Record<Architecture, number>> = { x64: 0xc000_003e, arm64: 0xc000_00b7 };
/** __X32_SYSCALL_BIT: the same calls by other numbers. */
const X32_CALLS = 0x4000_0000;

export const numberOn = (arch: Architecture, [x64, arm64]: SyscallNumbers): number =>
  arch === 'x64' ? x64 : arm64;

/** Calls of another architecture, whose numbers mean something else, get `policy.otherwise`, or fail as unknown. */
export function assembleFilter(policy: SyscallPolicy, arch: Architecture): Instruction[] {
  const foreign = policy.otherwise === ALLOW ? failWith(ENOSYS) : policy.otherwise;
  const program = [
    load(ARCHITECTURE),
    require(IF_EQUAL, AUDIT_ARCH[arch], 2),
    load(NUMBER),
    require(IF_AT_LEAST, X32_CALLS, 1),
    finish(foreign),
    ...policy.rules.flatMap((rule) => assembleRule(rule, arch)),
    finish(policy.otherwise),
  ];
  assert(program.length <= INSTRUCTIONS_MAX, 'the filter is longer than the kernel takes');
  return program;
}

function assembleRule(
  { calls, verdict, argument }: SyscallRule,
  arch: Architecture,
): Instruction[] {
  const body =
    argument === undefined
      ? [finish(verdict)]
      : [
          load(argumentOffset(argument.index)),
          ...argument.tests.flatMap(assembleTest),
          finish(verdict),
        ];
  return calls
    .map((numbers) => numberOn(arch, numbers))
    .filter((number) => number >= 0)
    .flatMap((number) => [require(IF_EQUAL, number, body.length), ...body]);
}

function assembleTest({ when, value, verdict }: ArgumentTest): Instruction[] {
  switch (when) {
    case 'equals':
      return [require(IF_EQUAL, value, 1), finish(verdict)];
    case 'has-any-bit':
      return [require(IF_ANY_BIT, value, 1), finish(verdict)];
    case 'lacks-bits': {
      const holds = require(IF_ANY_BIT, value, 0);
      return [{ ...holds, whenTrue: 1 }, finish(verdict)];
    }
  }
}
