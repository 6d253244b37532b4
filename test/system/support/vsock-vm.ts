/** A QEMU virtual machine with a vsock, which a vhost-user backend of ours serves. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { buildInitramfs, stepsArchive } from '../../../src/lab/vm/initramfs.ts';
import {
  netdevArgs,
  parseResult,
  QEMU_MACHINE,
  sharedMemoryArgs,
  type VmStepResult,
} from '../../../src/lab/vm/start-vm.ts';
import { findBusybox, findKernel, findQemu } from '../../../src/lab/vm/vm-parts.ts';
import type { VmStep } from '../../../src/lab/vm/vm-steps.ts';

const SOURCE = 'test/system/support/vsock-guest.c';
const BUILT = 'dist/tools/vsock-guest';
const MODULES = ['vsock', 'vmw_vsock_virtio_transport_common', 'vmw_vsock_virtio_transport'];
const MAC = '52:54:00:68:77:02';

/** @returns the program of `vsock-guest.c`; in the VM it has the same path */
export function vsockGuest(): string {
  if (!existsSync(BUILT) || statSync(BUILT).mtimeMs < statSync(SOURCE).mtimeMs) {
    mkdirSync('dist/tools', { recursive: true });
    const draft = `${BUILT}.${process.pid}`;
    execFileSync('gcc', ['-O2', '-static', '-o', draft, SOURCE]);
    renameSync(draft, BUILT);
  }
  return resolve(BUILT);
}

export interface VsockVmOptions {
  readonly memoryMiB: number;
  /** Absolute paths of files, put where they are on the host. */
  readonly files: readonly string[];
  /** A QEMU stream socket for a network card; undefined: it has none. */
  readonly link?: string;
  /** Of the kernel, besides those for vsock: they are in /modules. */
  readonly modules?: readonly string[];
}

export class VsockVm {
  readonly results: VmStepResult[] = [];
  readonly console: string[] = [];
  private readonly child: ChildProcess;
  private readonly exited: Promise<unknown>;

  /**
   * @param dir for the initramfs
   * @param socket where the vhost-user backend listens
   */
  constructor(dir: string, socket: string, steps: readonly VmStep[], options: VsockVmOptions) {
    const { memoryMiB, files, link, modules = [] } = options;
    const kernel = findKernel();
    const base = buildInitramfs(kernel, findBusybox());
    const load: VmStep = {
      name: 'modules',
      script: `for m in ${MODULES.join(' ')}; do insmod /modules/$m.ko; done\n[ -e /dev/vsock ]\n`,
    };
    const extras = { modules: [...MODULES, ...modules], files };
    const added = stepsArchive([load, ...steps], base.length, kernel, extras);
    const initrd = join(dir, 'initrd');
    writeFileSync(initrd, Buffer.concat([base, added]));
    this.child = spawn(
      findQemu(),
      [
        ...QEMU_MACHINE,
        ...sharedMemoryArgs(memoryMiB),
        ...['-nodefaults', '-nographic', '-no-reboot', '-serial', 'stdio', '-monitor', 'none'],
        ...['-kernel', kernel.image, '-initrd', initrd],
        ...['-append', 'console=ttyS0 quiet panic=-1 rdinit=/init mitigations=off'],
        ...['-chardev', `socket,id=vsock,path=${socket}`],
        ...['-device', 'vhost-user-vsock-pci,chardev=vsock'],
        ...(link === undefined ? [] : netdevArgs(link, 'connect', MAC)),
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    this.exited = once(this.child, 'exit');
    const onLine = (line: string): void => {
      this.console.push(line);
      const result = parseResult(line);
      if (result !== undefined) this.results.push(result);
    };
    for (const stream of [this.child.stdout, this.child.stderr]) {
      if (stream !== null) createInterface({ input: stream }).on('line', onLine);
    }
  }

  /** The result of a step that has ended. */
  result(step: string): VmStepResult | undefined {
    return this.results.find((result) => result.step === step);
  }

  async kill(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGKILL');
    await this.exited;
  }
}
