/**
 * A PC in v86 whose network card is at the far end of a WebSocket: `node v86-main.js URL SCRIPT`. It boots Linux, runs the
 * script as its first program, and prints what comes by the serial line.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename } from 'node:path';
import { V86 } from 'v86';
import { WebSocket } from 'ws';
import { type CpioEntry, makeCpio } from '../../../src/lab/vm/cpio.ts';
import { findI386, findSeabios } from './i386.ts';

const MEMORY = 128 << 20;
const VGA_MEMORY = 2 << 20;
const COMMAND_LINE =
  'console=ttyS0 quiet loglevel=4 panic=1 tsc=reliable lpj=2000000 acpi=off nosmp noapic mitigations=off mce=off pnpbios=off isapnp=0 random.trust_cpu=on';

const [, , url = '', script = ''] = process.argv;
// Node 20 has none of its own, and v86 takes a browser's.
Reflect.set(globalThis, 'WebSocket', WebSocket);

const read = (path: string): ArrayBuffer => bufferOf(readFileSync(path));
const bufferOf = (bytes: Uint8Array): ArrayBuffer => {
  const copy = new ArrayBuffer(bytes.length);
  new Uint8Array(copy).set(bytes);
  return copy;
};
const program = (path: string, data: Uint8Array): CpioEntry => ({
  ...{ path, kind: 'file', data },
  executable: true,
});

const { kernel, busybox, modules } = findI386();
const { bios, vga } = findSeabios();
const init = [
  '#!/bin/busybox sh',
  '/bin/busybox --install -s /bin',
  'export PATH=/bin',
  'mount -t proc proc /proc',
  ...modules.map((path) => `insmod /${basename(path)}`),
  'ip link set lo up',
  'ip link set eth0 up',
  script,
  'echo END',
  'sleep 1000000',
].join('\n');
const initrd = makeCpio([
  ...['bin', 'proc', 'dev'].map((path): CpioEntry => ({ path, kind: 'dir' })),
  program('bin/busybox', readFileSync(busybox)),
  ...modules.map((path) => program(basename(path), readFileSync(path))),
  program('init', Buffer.from(init)),
]);

const emulator = new V86({
  wasm_path: createRequire(import.meta.url).resolve('v86/build/v86.wasm'),
  memory_size: MEMORY,
  vga_memory_size: VGA_MEMORY,
  bios: { buffer: read(bios) },
  vga_bios: { buffer: read(vga) },
  bzimage: { buffer: read(kernel) },
  initrd: { buffer: bufferOf(initrd) },
  cmdline: COMMAND_LINE,
  net_device: { type: 'ne2k', relay_url: url },
  autostart: true,
  disable_keyboard: true,
  disable_mouse: true,
  disable_speaker: true,
});
emulator.add_listener('serial0-output-byte', (byte: number) => {
  process.stdout.write(String.fromCharCode(byte));
});
