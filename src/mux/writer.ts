import type { Slab } from '../base/slab.ts';

/** Where a multiplexer writes its bytes: frames are built in place. Implemented by the link's owner. */
export interface MuxWriter {
  /** The slab that offsets refer to; read it again after every {@link reserve}. */
  readonly slab: Slab;
  /** Contiguous bytes at the offset that the last {@link reserve} returned; at least its `minLen`. */
  readonly room: number;
  /**
   * Offset of at least `minLen` (at most 65,600) writable bytes, or -1 when the link is not draining:
   * the owner then calls `Mux.onWritable` once there is room.
   */
  reserve(minLen: number): number;
  /** Queue the first `len` bytes of the last reservation. */
  commit(len: number): void;
  /** Hand everything queued to the operating system, in one write. Called once per batch. */
  flush(): void;
}
