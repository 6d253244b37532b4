/** Runs a filter as the kernel does, on one call. */
import {
  IF_ANY_BIT,
  IF_AT_LEAST,
  IF_EQUAL,
  INSTRUCTION_LEN,
  LOAD,
  RETURN,
} from '../../../src/native/sandbox/bpf.ts';

export interface Call {
  readonly number: number;
  readonly arch: number;
  readonly args?: readonly bigint[];
}

/** @param program in the kernel's form @returns the verdict */
export function interpret(program: Uint8Array, { number, arch, args = [] }: Call): number {
  const data = new DataView(new ArrayBuffer(64)); // struct seccomp_data
  data.setUint32(0, number, true);
  data.setUint32(4, arch, true);
  for (const [i, value] of args.entries()) data.setBigUint64(16 + 8 * i, value, true);
  const code = new DataView(program.buffer, program.byteOffset, program.length);
  let accumulator = 0;
  for (let at = 0; ; at++) {
    const off = at * INSTRUCTION_LEN;
    const operation = code.getUint16(off, true);
    const value = code.getUint32(off + 4, true);
    const jump = (holds: boolean): number => code.getUint8(off + (holds ? 2 : 3));
    switch (operation) {
      case LOAD:
        accumulator = data.getUint32(value, true);
        break;
      case IF_EQUAL:
        at += jump(accumulator === value);
        break;
      case IF_AT_LEAST:
        at += jump(accumulator >= value);
        break;
      case IF_ANY_BIT:
        at += jump((accumulator & value) !== 0);
        break;
      case RETURN:
        return value;
      default:
        throw new Error(`instruction ${at}: ${operation}`);
    }
  }
}
