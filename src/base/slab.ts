import { allocate, release } from './arena.ts';

/** One long-lived block of bytes and the views over it. Made once, never per packet. */
export interface Slab {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

export function makeSlab(lenBytes: number): Slab {
  return slabOver(new Uint8Array(lenBytes));
}

/** A slab over bytes that exist already. */
export function slabOver(bytes: Uint8Array): Slab {
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
}

/** A slab for packets, cut from the arena; give it back with {@link releaseSlab}. */
export const makePacketSlab = (lenBytes: number): Slab => slabOver(allocate(lenBytes));

/** Nothing may read or write the slab afterwards. */
export const releaseSlab = (slab: Slab): void => release(slab.bytes);
