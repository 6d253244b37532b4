/**
 * A QEMU virtual machine as a guest: boots the distribution's kernel with the initramfs of
 * `initramfs.ts`, its network card on a QEMU stream socket, and reads the results of its steps from
 * the serial console.
 *
 * Emulated by TCG, so that it runs where KVM does not; TCG's choice of flags was measured, see
 * {@link QEMU_MACHINE}.
 */
import { Buffer } from 'node:buffer';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Duplex } from 'node:stream';
import { buildInitramfs, stepsArchive, type VmExtras } from './initramfs.ts';
import { findBusybox, findKernel, findQemu } from './vm-parts.ts';
import type { VmStep } from './vm-steps.ts';

/**
 * How the VM's network card is served: by a stream socket of 4-byte lengths and frames to which QEMU
 * connects, or which it makes (`listen`), or that is a descriptor of its own from the start (`fd`); by
 * messages between two paths (`dgram`), or over a descriptor that it is given (`dgram-fd`); by a vhost-user socket; by QEMU
 * itself (`user`).
 */
export type VmLinkMode = 'connect' | 'listen' | 'fd' | 'dgram' | 'dgram-fd' | 'vhost-user' | 'user';

export interface VmOptions {
  /** Path of the socket; for `fd` nothing; for `dgram` QEMU's own and the other's, with a comma in between. */
  readonly link: string;
  readonly mode: VmLinkMode;
  /** With `dgram-fd`: a connected socket of messages, which stays the caller's. */
  readonly card?: number;
  readonly steps: readonly VmStep[];
  readonly memoryMiB: number;
  /** Modules and programs that the steps use beyond busybox. */
  readonly extras?: VmExtras;
  readonly mac?: string;
  /** False: its card leaves no checksum and no segmentation to either end. */
  readonly offloads?: boolean;
  /** A file for QEMU to write every frame of the link to, as pcap. */
  readonly pcap?: string;
  /** Every line of the console, for a log. */
  readonly onConsole?: (line: string) => void;
}

export interface VmStepResult {
  readonly step: string;
  readonly ok: boolean;
  readonly ms: number;
  /** Every word that the step printed. */
  readonly words: Readonly<Record<string, string>>;
}

export interface VmHandle {
  readonly pid: number;
  /** With `fd`, the other end of its network card. */
  readonly card: Duplex | undefined;
  /** One for each step as it ends, beginning with `boot`; ends when the VM does. */
  readonly results: AsyncIterable<VmStepResult>;
  /** Resolves with QEMU's exit status and the last lines of the console. */
  readonly ended: Promise<{ readonly status: number | null; readonly tail: readonly string[] }>;
  kill(): void;
}

/**
 * `pc` boots most steadily of QEMU's machines under TCG. The default CPU: `-cpu max` has SMEP, SMAP
 * and more, which TCG emulates at a price (64 MB down and up in 2.0 + 1.3 s, against 0.9 + 0.8 s).
 * One of them: a second adds nothing to one stream and costs the host its second CPU.
 */
export const QEMU_MACHINE: readonly string[] = ['-M', 'pc', '-accel', 'tcg'];
const TAIL_LINES = 20;
const CARD_FD = 3;
/** Virtio's, by QEMU's names. */
const OFFLOADS = [
  ...['csum', 'gso', 'host_tso4', 'host_tso6', 'host_ecn', 'host_ufo'],
  ...['guest_csum', 'guest_tso4', 'guest_tso6', 'guest_ecn', 'guest_ufo'],
];

export const netdevArgs = (
  link: string,
  mode: VmLinkMode,
  mac: string,
  offloads = true,
): readonly string[] => [
  ...netdev(link, mode),
  '-device',
  [
    `virtio-net-pci,netdev=n,mac=${mac},romfile=`,
    // QEMU (7.2) crashes when a vhost-user card has MSI-X vectors and there is no KVM.
    ...(mode === 'vhost-user' ? ['vectors=0'] : []),
    ...(offloads ? [] : OFFLOADS.map((name) => `${name}=off`)),
  ].join(),
];

function netdev(link: string, mode: VmLinkMode): readonly string[] {
  switch (mode) {
    case 'connect':
      return ['-netdev', `stream,id=n,server=off,addr.type=unix,addr.path=${link}`];
    case 'listen':
      return ['-netdev', `stream,id=n,server=on,addr.type=unix,addr.path=${link}`];
    case 'fd':
      return ['-netdev', `stream,id=n,server=off,addr.type=fd,addr.str=${CARD_FD}`];
    case 'dgram': {
      const [local = '', remote = ''] = link.split(',');
      const paths = `local.type=unix,local.path=${local},remote.type=unix,remote.path=${remote}`;
      return ['-netdev', `dgram,id=n,${paths}`];
    }
    case 'dgram-fd':
      return ['-netdev', `dgram,id=n,local.type=fd,local.str=${CARD_FD}`];
    case 'vhost-user': {
      const chardev = `socket,id=c,path=${link},reconnect=1`;
      return ['-chardev', chardev, '-netdev', 'vhost-user,id=n,chardev=c'];
    }
    case 'user':
      return ['-netdev', 'user,id=n'];
  }
}

/** Of the machine; its memory is a file, to be shared, where another process serves the card. */
const memoryArgs = (memoryMiB: number, mode: VmLinkMode): readonly string[] =>
  mode === 'vhost-user' ? sharedMemoryArgs(memoryMiB) : ['-m', String(memoryMiB)];

export const sharedMemoryArgs = (memoryMiB: number): readonly string[] => [
  ...['-machine', 'memory-backend=mem', '-m', String(memoryMiB)],
  ...['-object', `memory-backend-memfd,id=mem,size=${memoryMiB}M,share=on`],
];

/**
 * @throws VmUnavailableError when QEMU, a kernel or busybox is not installed
 */
export function startVm(options: VmOptions): VmHandle {
  const qemu = findQemu();
  const kernel = findKernel();
  const base = buildInitramfs(kernel, findBusybox());
  const dir = mkdtempSync(join(tmpdir(), 'hawser-vm-'));
  const initrd = join(dir, 'initrd');
  const added = stepsArchive(options.steps, base.length, kernel, options.extras);
  writeFileSync(initrd, Buffer.concat([base, added]));
  const child = spawn(
    qemu,
    [
      ...QEMU_MACHINE,
      ...memoryArgs(options.memoryMiB, options.mode),
      ...['-nodefaults', '-nographic', '-no-reboot', '-serial', 'stdio', '-monitor', 'none'],
      ...['-kernel', kernel.image, '-initrd', initrd],
      ...['-append', 'console=ttyS0 quiet panic=-1 rdinit=/init mitigations=off'],
      ...netdevArgs(
        options.link,
        options.mode,
        options.mac ?? '52:54:00:68:77:01',
        options.offloads,
      ),
      ...(options.pcap === undefined
        ? []
        : ['-object', `filter-dump,id=dump,netdev=n,file=${options.pcap}`]),
    ],
    {
      stdio: [
        'ignore',
        'pipe',
        'pipe',
        options.mode === 'fd' ? 'pipe' : (options.card ?? 'ignore'),
      ],
    },
  );
  return watch(child, dir, options);
}

function watch(child: ChildProcess, dir: string, options: VmOptions): VmHandle {
  const queue = new ResultQueue();
  const tail: string[] = [];
  const onLine = (raw: string): void => {
    const line = raw.trimEnd();
    tail.push(line);
    if (tail.length > TAIL_LINES) tail.shift();
    options.onConsole?.(line);
    const result = parseResult(line);
    if (result !== undefined) queue.push(result);
  };
  if (child.stdout !== null) createInterface({ input: child.stdout }).on('line', onLine);
  if (child.stderr !== null) createInterface({ input: child.stderr }).on('line', onLine);
  const ended = new Promise<{ status: number | null; tail: readonly string[] }>((resolve) => {
    const finish = (status: number | null): void => {
      rmSync(dir, { recursive: true, force: true });
      queue.end();
      resolve({ status, tail });
    };
    child.once('error', (error) => {
      tail.push(error.message);
      finish(null);
    });
    child.once('close', finish);
  });
  const end = child.stdio[CARD_FD];
  const card = end instanceof Duplex ? end : undefined;
  return { pid: child.pid ?? 0, card, results: queue, ended, kill: () => child.kill('SIGKILL') };
}

/** A line `HAWSER step=NAME ok=0|1 ms=N key=value ...`; undefined for any other. */
export function parseResult(line: string): VmStepResult | undefined {
  const at = line.indexOf('HAWSER step=');
  if (at < 0) return undefined;
  const words: Record<string, string> = {};
  for (const word of line.slice(at + 'HAWSER '.length).split(/\s+/)) {
    const eq = word.indexOf('=');
    if (eq > 0) words[word.slice(0, eq)] = word.slice(eq + 1);
  }
  const { step = '', ok, ms, ...rest } = words;
  return { step, ok: ok === '1', ms: Number(ms ?? 0), words: rest };
}

/** Results in the order of arrival, for one reader. */
class ResultQueue implements AsyncIterable<VmStepResult> {
  private readonly waiting: VmStepResult[] = [];
  private wake: () => void = () => {};
  private done = false;

  push(result: VmStepResult): void {
    this.waiting.push(result);
    this.wake();
  }

  end(): void {
    this.done = true;
    this.wake();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<VmStepResult> {
    for (;;) {
      const next = this.waiting.shift();
      if (next !== undefined) yield next;
      else if (this.done) return;
      else {
        const woken = new Promise<void>((resolve) => {
          this.wake = resolve;
        });
        await woken;
      }
    }
  }
}
