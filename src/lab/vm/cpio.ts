/**
 * Writer of cpio archives in the "newc" format, the one the Linux kernel unpacks as an initramfs
 * (Documentation/driver-api/early-userspace/buffer-format.rst). Archives may follow one another in
 * one file, each padded to four bytes and each compressed or not.
 */
import { Buffer } from 'node:buffer';

export type CpioEntry =
  | { readonly path: string; readonly kind: 'dir' }
  | {
      readonly path: string;
      readonly kind: 'file';
      readonly data: Uint8Array;
      readonly executable: boolean;
    }
  | { readonly path: string; readonly kind: 'link'; readonly target: string };

const MODE = { dir: 0o040755, file: 0o100644, link: 0o120777 } as const;
const EXECUTABLE = 0o111;
const ALIGN = 4;

/** @param entries parents before children; paths without a leading slash */
export function makeCpio(entries: readonly CpioEntry[]): Buffer {
  const parts: Uint8Array[] = [];
  let inode = 1;
  for (const entry of entries) {
    let mode: number = MODE[entry.kind];
    let data: Uint8Array = new Uint8Array(0);
    if (entry.kind === 'link') data = Buffer.from(entry.target);
    if (entry.kind === 'file') {
      data = entry.data;
      if (entry.executable) mode |= EXECUTABLE;
    }
    pushMember(parts, inode++, entry.path, mode, data);
  }
  pushMember(parts, 0, 'TRAILER!!!', 0, new Uint8Array(0));
  return Buffer.concat(parts);
}

function pushMember(
  parts: Uint8Array[],
  inode: number,
  path: string,
  mode: number,
  data: Uint8Array,
): void {
  const name = Buffer.from(`${path}\0`);
  // inode, mode, uid, gid, nlink, mtime, size, dev major/minor, rdev major/minor, namesize, check
  const fields = [inode, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length, 0];
  const header = Buffer.from(
    `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`,
  );
  parts.push(header, name, padding(header.length + name.length), data, padding(data.length));
}

/** Zeros up to the next multiple of four after `len` bytes. */
export const padding = (len: number): Uint8Array => new Uint8Array((ALIGN - (len % ALIGN)) % ALIGN);
