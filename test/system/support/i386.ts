/** Parts of a small system of 32 bits, for an emulator: those that `.ci/i386-kernel` unpacks, and a BIOS. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const { HAWSER_TEST_I386: DIR = '/var/cache/hawser-test/i386' } = process.env;
const SEABIOS = '/usr/share/seabios';
const MODULES = ['8390.ko', 'ne2k-pci.ko'];

export interface I386Parts {
  readonly kernel: string;
  readonly busybox: string;
  /** In the order in which they are loaded. */
  readonly modules: readonly string[];
}

/** @throws Error that says how to get them */
export function findI386(): I386Parts {
  const at = (name: string): string => join(DIR, name);
  const parts = { kernel: at('vmlinuz'), busybox: at('busybox'), modules: MODULES.map(at) };
  for (const path of [parts.kernel, parts.busybox, ...parts.modules]) {
    if (!existsSync(path)) throw new Error(`no ${path}: run .ci/i386-kernel ${DIR}`);
  }
  return parts;
}

/** @throws Error */
export function findSeabios(): { readonly bios: string; readonly vga: string } {
  const parts = { bios: join(SEABIOS, 'bios.bin'), vga: join(SEABIOS, 'vgabios-stdvga.bin') };
  if (!existsSync(parts.bios)) throw new Error(`no ${parts.bios} (package seabios)`);
  return parts;
}
