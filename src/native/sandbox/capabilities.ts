/**
 * Capabilities (capabilities(7)): all are given up, and the right to get any by starting a program, but for
 * CAP_NET_BIND_SERVICE where it is held, with which ports below 1024 are published.
 */
import { CALLS } from './calls.ts';
import { type Kernel, memory } from './kernel.ts';
import type { ThreadStatus } from './thread-status.ts';

const CAP_NET_BIND_SERVICE = 10;

const PR_CAPBSET_READ = 23;
const PR_CAPBSET_DROP = 24;
const PR_CAP_AMBIENT = 47;
const PR_CAP_AMBIENT_RAISE = 2;
const PR_CAP_AMBIENT_CLEAR_ALL = 4;

/** _LINUX_CAPABILITY_VERSION_3: each set is of two words. */
const VERSION = 0x2008_0522;
const WORDS = 2;
const SET_LEN = 12;
const EPERM = 1;
const CAPABILITIES_MAX = 64;

/** Of the thread: bit by bit. */
interface CapabilitySets {
  readonly effective: bigint;
  readonly permitted: bigint;
  readonly inheritable: bigint;
}

const bit = (capability: number): bigint => 1n << BigInt(capability);

function heldCapabilities(kernel: Kernel): CapabilitySets {
  const header = memory(8);
  const data = memory(WORDS * SET_LEN);
  header.setUint32(0, VERSION, true);
  kernel.call('read capabilities', CALLS.capget, kernel.address(header), kernel.address(data));
  const set = (off: number): bigint =>
    BigInt(data.getUint32(off, true)) | (BigInt(data.getUint32(SET_LEN + off, true)) << 32n);
  return { effective: set(0), permitted: set(4), inheritable: set(8) };
}

function setCapabilities(kernel: Kernel, kept: bigint): void {
  const header = memory(8);
  const data = memory(WORDS * SET_LEN);
  header.setUint32(0, VERSION, true);
  for (const off of [0, 4, 8]) {
    data.setUint32(off, Number(kept & 0xffff_ffffn), true);
    data.setUint32(SET_LEN + off, Number(kept >> 32n), true);
  }
  const [head, sets] = [kernel.address(header), kernel.address(data)];
  kernel.call('give up capabilities', CALLS.capset, head, sets);
}

/**
 * The bounding set: what programs may get, whoever starts them. Before another user is taken on, for it needs
 * CAP_SETPCAP; without that, nothing is lost: `no_new_privs` has the same effect.
 */
export function dropBoundingSet(kernel: Kernel): void {
  for (let capability = 0; capability < CAPABILITIES_MAX; capability++) {
    if (capability === CAP_NET_BIND_SERVICE) continue;
    if (kernel.try(CALLS.prctl, PR_CAPBSET_READ, capability) < 0) return; // beyond the last
    if (kernel.try(CALLS.prctl, PR_CAPBSET_DROP, capability) === -EPERM) return;
  }
}

/** @returns what is kept */
export function dropCapabilities(kernel: Kernel): bigint {
  const kept = heldCapabilities(kernel).permitted & bit(CAP_NET_BIND_SERVICE);
  setCapabilities(kernel, kept);
  kernel.prctl('clear the ambient capabilities', PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL);
  if (kept !== 0n) {
    const raise = [PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE];
    kernel.prctl('keep CAP_NET_BIND_SERVICE', PR_CAP_AMBIENT, ...raise);
  }
  return kept;
}

/** But for {@link CAP_NET_BIND_SERVICE}. */
export const hasNoCapabilities = ({ capabilities }: ThreadStatus): boolean =>
  (capabilities & ~bit(CAP_NET_BIND_SERVICE)) === 0n;
