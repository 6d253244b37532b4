/** A QEMU virtual machine with nothing but a vsock, which a vhost-user backend of ours serves. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import {
  buildInitramfs,
  findBusybox,
  findKernel,
  findQemu,
  stepsArchive,
  type VmExtras,
} from '../../../src/cli/demo/vm/initramfs.ts';
import { parseResult, QEMU_MACHINE, type VmStepResult } from '../../../src/cli/demo/vm/start-vm.ts';
import type { VmStep } from '../../../src/cli/demo/vm/vm-steps.ts';

const SOURCE = 'test/system/support/vsock-guest.c';
const BUILT = 'dist/tools/vsock-guest';
const MODULES = ['vsock', 'vmw_vsock_virtio_transport_common', 'vmw_vsock_virtio_transport'];
const MEMORY_MIB = 256;

export interface VsockVmExtras {
  readonly files: VmExtras['files'];
  readonly memoryMiB: number;
}

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

export class VsockVm {
  readonly results: VmStepResult[] = [];
  readonly console: string[] = [];
  private readonly child: ChildProcess;
  private readonly exited: Promise<unknown>;

  /**
   * @param dir for the initramfs
   * @param socket where the vhost-user backend listens
   * @param more beyond busybox and the modules
   */
  constructor(
    dir: string,
    socket: string,
    steps: readonly VmStep[],
    more: VsockVmExtras = { files: [vsockGuest()], memoryMiB: 0 },
  ) {
    const kernel = findKernel();
    const base = buildInitramfs(kernel, findBusybox());
    const load: VmStep = {
      name: 'modules',
      script: `for m in ${MODULES.join(' ')}; do insmod /modules/$m.ko; done\n[ -e /dev/vsock ]\n`,
    };
    const extras = { modules: MODULES, files: more.files };
    const memoryMiB = MEMORY_MIB + more.memoryMiB;
    const added = stepsArchive([load, ...steps], base.length, kernel, extras);
    const initrd = join(dir, 'initrd');
    writeFileSync(initrd, Buffer.concat([base, added]));
    this.child = spawn(
      findQemu(),
      [
        ...QEMU_MACHINE,
        ...['-machine', 'memory-backend=mem', '-m', String(memoryMiB)],
        ...['-object', `memory-backend-memfd,id=mem,size=${memoryMiB}M,share=on`],
        ...['-nodefaults', '-nographic', '-no-reboot', '-serial', 'stdio', '-monitor', 'none'],
        ...['-kernel', kernel.image, '-initrd', initrd],
        ...['-append', 'console=ttyS0 quiet panic=-1 rdinit=/init mitigations=off'],
        ...['-chardev', `socket,id=vsock,path=${socket}`],
        ...['-device', 'vhost-user-vsock-pci,chardev=vsock'],
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
