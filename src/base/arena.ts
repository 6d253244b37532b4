/**
 * The memory that slabs and rings are cut from. Most of it is one block, so that WebAssembly can work on it in place:
 * checksums at 40 GB/s with SIMD against 2 to 9 in TypeScript, copies that make no view of their bytes.
 *
 * Theory of operation
 * -------------------
 * Process-wide, like any allocator. The block has a fixed size, because growing would detach every
 * view of it; its pages cost nothing until they are touched. Pieces are powers of two from 256 bytes. When the block is
 * used up, or where WebAssembly SIMD is not available, pieces come from further blocks, ordinary arrays, made when
 * needed: everything works, slower. Blocks are kept: the collector would free an array that nobody uses only when
 * something else had it run. Their pages go back to the system by `discardStale`, when they lay unused for a while.
 */
import { assert } from './assert.ts';
import { Buddy, CHUNK } from './buddy.ts';
import { BYTES_WASM } from './wasm/module-bytes.ts';
import type {} from './wasm/webassembly.d.ts';

const PAGE = 65_536;
const ARENA_SHIFT = 27; // 128 MiB
const BLOCK_SHIFT = 26;
const MAX_BLOCKS = 16;
const MIN_SHIFT = 8;

interface Block {
  readonly buffer: ArrayBuffer;
  readonly pieces: Buddy;
}

interface Kernel {
  readonly buffer: ArrayBuffer;
  /** Folded sum of the big-endian 16-bit words of `len` bytes at `at`. */
  readonly sum: (at: number, len: number) => number;
  /** Copy `len` bytes; they may overlap. */
  readonly copy: (to: number, from: number, len: number) => void;
}

const kernel: Kernel | undefined = loadKernel();
const blocks: Block[] = [];
let inUse = 0;
if (kernel !== undefined) {
  const pieces = new Buddy(ARENA_SHIFT);
  pieces.allocate(Math.log2(PAGE)); // the first page stays unused: no piece has address 0
  blocks.push({ buffer: kernel.buffer, pieces });
}

/** The block that WebAssembly works on; undefined when there is none. */
export const ARENA_BUFFER: ArrayBuffer | undefined = kernel?.buffer;

/** Only for bytes of `ARENA_BUFFER`. */
export const arenaSum: Kernel['sum'] = kernel?.sum ?? (() => 0);

/** Only for bytes of `ARENA_BUFFER`; nothing else is checked. */
export const arenaCopy: Kernel['copy'] = kernel?.copy ?? (() => {});

/** Bytes of pieces that were not given back. */
export const arenaInUse = (): number => inUse;

/** At least `lenBytes` bytes, not cleared. */
export function allocate(lenBytes: number): Uint8Array {
  const shift = Math.max(32 - Math.clz32(lenBytes - 1), MIN_SHIFT);
  const size = 2 ** shift;
  for (const { buffer, pieces } of blocks) {
    const offset = pieces.allocate(shift);
    if (offset < 0) continue;
    inUse += size;
    return new Uint8Array(buffer, offset, size);
  }
  if (shift > BLOCK_SHIFT || blocks.length > MAX_BLOCKS) return new Uint8Array(size);
  blocks.push({ buffer: new ArrayBuffer(2 ** BLOCK_SHIFT), pieces: new Buddy(BLOCK_SHIFT) });
  return allocate(size);
}

/** Give back what `allocate` returned. The caller holds no view of it any more. */
export function release(bytes: Uint8Array): void {
  for (const { buffer, pieces } of blocks) {
    if (bytes.buffer !== buffer) continue;
    inUse -= bytes.length;
    pieces.release(bytes.byteOffset, 31 - Math.clz32(bytes.length));
    return;
  }
  // An ordinary array, garbage collected.
}

/** What is free now and was used since the last call is stale if it is still unused at the next. */
export function ageFree(): void {
  for (const { pieces } of blocks) pieces.age();
}

/**
 * @param most bytes to discard at most, a multiple of 64 KiB
 * @param discard gives the pages of these bytes back to the system; what they hold is of no use
 * @returns bytes discarded; less than `most` when no more are stale
 */
export function discardStale(most: number, discard: (bytes: Uint8Array) => void): number {
  assert(most % CHUNK === 0, 'not a multiple of the chunk');
  let done = 0;
  for (const { buffer, pieces } of blocks) {
    done += pieces.takeStale(most - done, (offset, len) => {
      discard(new Uint8Array(buffer, offset, len));
    });
  }
  return done;
}

function loadKernel(): Kernel | undefined {
  if (typeof WebAssembly === 'undefined') return undefined; // node --jitless
  try {
    const pages = 2 ** ARENA_SHIFT / PAGE;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    const bytes = Uint8Array.from(atob(BYTES_WASM), (c) => c.charCodeAt(0));
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
      env: { memory },
    });
    const { sum, copy } = exports;
    assert(isKernel(sum) && isKernel(copy), 'bytes.wat exports other functions');
    return { buffer: memory.buffer, sum, copy };
  } catch (error) {
    // No SIMD on this processor, or no address space for the memory: do without.
    if (error instanceof WebAssembly.CompileError || error instanceof RangeError) return undefined;
    throw error;
  }
}

/** Exported functions are called without a wrapper: one costs more than the call. */
function isKernel(f: unknown): f is (...args: number[]) => number {
  return typeof f === 'function';
}
