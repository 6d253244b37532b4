/**
 * The sandbox of a running daemon: what its first start has given up, and what it gives up when it is ready. What is
 * shown of it was looked up in every thread, not assumed.
 */
import type { SandboxView } from '../../control/network-view.ts';
import { hasNoCapabilities } from '../../native/sandbox/capabilities.ts';
import { Kernel } from '../../native/sandbox/kernel.ts';
import type { PartState, SandboxPart } from '../../native/sandbox/parts.ts';
import { filterSystemCalls } from '../../native/sandbox/seccomp.ts';
import { SERVICE_POLICY } from '../../native/sandbox/syscall-policy.ts';
import { type ThreadStatus, threadStatuses } from '../../native/sandbox/thread-status.ts';
import type { SandboxMode } from '../daemon-config.ts';
import { PartList } from './part-list.ts';

export interface SandboxState {
  readonly mode: SandboxMode;
  /** Whether every thread has given up what is given up at a start. */
  readonly isEntered: boolean;
  readonly parts?: readonly PartState[];
  /** Directories that were made for sockets, each before its parents. */
  readonly made?: readonly string[];
}

export class Sandbox {
  readonly mode: SandboxMode;
  readonly made: readonly string[];
  private readonly isEntered: boolean;
  private parts: readonly PartState[];

  constructor({ mode, isEntered, parts = [], made = [] }: SandboxState) {
    this.mode = mode;
    this.made = made;
    this.isEntered = isEntered;
    this.parts = parts;
  }

  view(): SandboxView {
    return { mode: this.mode, parts: this.parts };
  }

  /**
   * From now on the process starts no program, and makes no system call that serving does not need. Whatever is loaded on
   * demand from native code must be loaded by now.
   *
   * @throws RunError in mode `strict` when something does not hold
   */
  enterService(): void {
    if (!this.isEntered) return;
    const service = new PartList(this.mode === 'strict');
    if (this.mode !== 'off') {
      service.attempt('system-calls', () => {
        filterSystemCalls(new Kernel(), SERVICE_POLICY, 'all');
        return 'those of service; no programs, no io_uring';
      });
    }
    const replaced = service.states.map(({ part }) => part);
    const others = this.parts.filter(({ part }) => !replaced.includes(part));
    this.parts = this.lookedUp([...others, ...service.states]);
  }

  private lookedUp(parts: readonly PartState[]): readonly PartState[] {
    const threads = threadStatuses();
    const found = new PartList(this.mode === 'strict');
    for (const { part, holds, detail } of parts) {
      const odd = threads.find((thread) => !holdsFor(part, thread));
      if (!holds || odd === undefined) found.states.push({ part, holds, detail });
      else found.fail(part, `it does not hold for thread ${odd.name}`);
    }
    return found.states;
  }
}

/** As far as the kernel shows it; Landlock is not shown. */
function holdsFor(part: SandboxPart, thread: ThreadStatus): boolean {
  switch (part) {
    case 'capabilities':
      return hasNoCapabilities(thread);
    case 'no-new-privileges':
      return thread.noNewPrivileges;
    case 'system-calls':
      return thread.filters > 0;
    case 'user':
    case 'files':
      return true;
  }
}
