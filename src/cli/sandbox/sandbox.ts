/**
 * The sandbox of a running daemon: what its first start has given up, and what it gives up when it is ready. What is
 * shown of it was looked up in every thread, not assumed.
 */
import type { SandboxView } from '../../control/network-view.ts';
import { bit, CAP_NET_BIND_SERVICE } from '../../native/sandbox/capabilities.ts';
import { Kernel } from '../../native/sandbox/kernel.ts';
import type { PartState, SandboxPart } from '../../native/sandbox/parts.ts';
import { filterSystemCalls } from '../../native/sandbox/seccomp.ts';
import { SERVICE_POLICY } from '../../native/sandbox/syscall-policy.ts';
import { type ThreadStatus, threadStatuses } from '../../native/sandbox/thread-status.ts';
import type { SandboxMode } from '../daemon-config.ts';
import { PartList } from './part-list.ts';

export class Sandbox {
  readonly mode: SandboxMode;
  readonly made: readonly string[];
  private readonly isSecondStart: boolean;
  private parts: readonly PartState[];

  /**
   * @param made directories that the first start has made; undefined when this is no second one
   * @param parts as the first start left them
   */
  constructor(mode: SandboxMode, made: readonly string[] | undefined, parts: readonly PartState[]) {
    this.mode = mode;
    this.made = made ?? [];
    this.isSecondStart = made !== undefined;
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
    if (!this.isSecondStart) return;
    const parts = new PartList(this.mode === 'strict');
    const filters = this.mode === 'off' ? 0 : 2;
    const given = this.parts;
    if (filters > 0) {
      parts.attempt('system-calls', () => {
        filterSystemCalls(new Kernel(), SERVICE_POLICY, 'all');
        return 'those of service; no programs, no io_uring';
      });
    }
    const later = parts.states.map(({ part }) => part);
    const kept = given.filter(({ part }) => !later.includes(part));
    this.parts = [...kept, ...parts.states];
    const threads = threadStatuses();
    this.parts = this.parts.map((state) => {
      const odd = threads.find((thread) => !holdsFor(state.part, thread, filters));
      if (!state.holds || odd === undefined) return state;
      const failed = new PartList(this.mode === 'strict');
      failed.fail(state.part, `not for thread ${odd.name}`);
      return { ...state, holds: false, detail: `not for thread ${odd.name}` };
    });
  }
}

/** As far as the kernel shows it; Landlock is not shown. */
function holdsFor(part: SandboxPart, thread: ThreadStatus, filters: number): boolean {
  switch (part) {
    case 'capabilities':
      return (thread.capabilities & ~bit(CAP_NET_BIND_SERVICE)) === 0n;
    case 'no-new-privileges':
      return thread.noNewPrivileges;
    case 'system-calls':
      return thread.filters >= filters;
    case 'user':
    case 'files':
      return true;
  }
}
