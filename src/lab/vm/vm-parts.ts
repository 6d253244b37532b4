/** What a VM is made of, as the distribution installed it: QEMU, a kernel with its modules, a static busybox. */
import { accessSync, constants, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { onPath } from '../on-path.ts';

/** Something the VM needs is not installed. The message names the package that has it. */
export class VmUnavailableError extends Error {
  readonly code = 'ERR_HAWSER_VM_UNAVAILABLE';
}

export interface VmKernel {
  readonly image: string;
  readonly version: string;
  readonly modulesDir: string;
}

const PACKAGES =
  'install them with: apt-get install qemu-system-x86 linux-image-cloud-amd64 busybox-static';

/** @returns the newest `*-cloud-amd64` kernel whose modules are there, else the newest other one */
export function findKernel(bootDir = '/boot', modulesRoot = '/lib/modules'): VmKernel {
  const found = (existsSync(bootDir) ? readdirSync(bootDir) : [])
    .filter((file) => file.startsWith('vmlinuz-'))
    .map((file) => {
      const version = file.slice('vmlinuz-'.length);
      return { image: join(bootDir, file), version, modulesDir: join(modulesRoot, version) };
    })
    .filter(({ image, modulesDir }) => readable(image) && readable(modulesDir))
    .sort((a, b) => rank(b.version) - rank(a.version) || compareVersions(b.version, a.version));
  const best = found[0];
  if (best !== undefined) return best;
  throw new VmUnavailableError(
    `no Linux kernel for the VM: looked for a readable ${bootDir}/vmlinuz-VERSION with ` +
      `${modulesRoot}/VERSION (package linux-image-cloud-amd64); ${PACKAGES}`,
  );
}

const rank = (version: string): number => (version.endsWith('-cloud-amd64') ? 1 : 0);
const compareVersions = (a: string, b: string): number =>
  a.localeCompare(b, 'en', { numeric: true });

export function findBusybox(): string {
  const busybox = onPath('busybox');
  if (busybox === undefined) {
    throw new VmUnavailableError(`no busybox on PATH (package busybox-static); ${PACKAGES}`);
  }
  // A dynamic busybox has a PT_INTERP segment that names the loader, which the VM does not have.
  if (readFileSync(busybox).includes('/ld-linux')) {
    throw new VmUnavailableError(
      `${busybox} is dynamically linked: package busybox-static is needed; ${PACKAGES}`,
    );
  }
  return busybox;
}

export function findQemu(): string {
  const qemu = onPath('qemu-system-x86_64');
  if (qemu !== undefined) return qemu;
  throw new VmUnavailableError(
    `no qemu-system-x86_64 on PATH (package qemu-system-x86); ${PACKAGES}`,
  );
}

function readable(file: string): boolean {
  try {
    accessSync(file, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}
