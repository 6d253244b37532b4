import { MAP_SHARED, PROT_READ, PROT_WRITE } from './constants.ts';
import { PosixError } from './errors.ts';
import type { Libc } from './libc.ts';
import type { SharedMapping } from './posix.ts';

/** See `Posix.mapShared`. */
export function mapShared(c: Libc, fd: number, offset: number, len: number): SharedMapping {
  const address = c.mmap(0, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
  if (address === -1) throw new PosixError(`cannot map ${len} bytes of shared memory`, c.errno());
  let mapped = true;
  return {
    view: (off, viewLen) => {
      if (!mapped || off < 0 || viewLen < 0 || off + viewLen > len) {
        throw new RangeError(`no ${viewLen} bytes at ${off} of a mapping of ${len}`);
      }
      return new Uint8Array(c.view(address + off, viewLen));
    },
    unmap: () => {
      if (mapped) c.munmap(address, len);
      mapped = false;
    },
  };
}
