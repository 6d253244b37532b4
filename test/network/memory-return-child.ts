/** Fill 300 MB of rings, give them back, and wait until the system has their memory; prints what was resident, in MB. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { BufferPool } from '../../src/base/buffer-pool.ts';
import { loadPosix } from '../../src/native/load.ts';
import { MemoryReturn } from '../../src/network/memory-return.ts';

const MB = 1 << 20;
const SIZES = [256, 4096, 65_536, 2 * MB];

function residentMb(): number {
  const kb = /^VmRSS:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1];
  return Number(kb) / 1024;
}

loadPosix();
const before = residentMb();
const pool = new BufferPool(512 * MB);
const buffers: Uint8Array[] = [];
for (let i = 0; pool.inUse < 300 * MB; i++) {
  const buffer = pool.acquire(SIZES[i % SIZES.length] ?? 0);
  if (buffer !== undefined) buffers.push(buffer.fill(1));
}
const peak = residentMb();
for (const buffer of buffers.splice(0)) pool.release(buffer);
const back = new MemoryReturn(5);
let after = residentMb();
for (let i = 0; i < 500 && after > before + 20; i++) {
  await sleep(10);
  after = residentMb();
}
back.close();
process.stdout.write(JSON.stringify({ before, peak, after }));
