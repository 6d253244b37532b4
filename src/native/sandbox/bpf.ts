/**
 * Programs of classic BPF, of the few instructions that a seccomp filter needs (seccomp(2), `linux/filter.h`). They read
 * `struct seccomp_data`: the number of the system call, the architecture, and the arguments.
 */
export interface Instruction {
  readonly code: number;
  /** Instructions to skip, when the test holds and when it does not. */
  readonly whenTrue: number;
  readonly whenFalse: number;
  readonly value: number;
}

export const LOAD = 0x20; // BPF_LD | BPF_W | BPF_ABS
export const IF_EQUAL = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
export const IF_AT_LEAST = 0x35; // BPF_JMP | BPF_JGE | BPF_K
export const IF_ANY_BIT = 0x45; // BPF_JMP | BPF_JSET | BPF_K
export const RETURN = 0x06; // BPF_RET | BPF_K

/** BPF_MAXINSNS */
export const INSTRUCTIONS_MAX = 4096;
/** Size of `struct sock_filter`. */
export const INSTRUCTION_LEN = 8;

export const load = (offset: number): Instruction => instruction(LOAD, offset);
export const finish = (verdict: number): Instruction => instruction(RETURN, verdict);

/** Continue when the test holds, else skip `skip` instructions. */
export const require = (code: number, value: number, skip: number): Instruction =>
  instruction(code, value, 0, skip);

function instruction(code: number, value: number, whenTrue = 0, whenFalse = 0): Instruction {
  return { code, whenTrue, whenFalse, value };
}

export function encodeProgram(program: readonly Instruction[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(program.length * INSTRUCTION_LEN);
  const view = new DataView(bytes.buffer);
  for (const [i, { code, whenTrue, whenFalse, value }] of program.entries()) {
    const off = i * INSTRUCTION_LEN;
    view.setUint16(off, code, true);
    view.setUint8(off + 2, whenTrue);
    view.setUint8(off + 3, whenFalse);
    view.setUint32(off + 4, value, true);
  }
  return bytes;
}
