/**
 * The sockets that wait for peers in this thread's namespace: by the kernel's diagnosis, or by its tables in /proc where it
 * has none, as a kernel without its module tcp_diag.
 */
import type { Log } from '../../../base/log.ts';
import type { BoundSocket, BoundSockets, HasEnded, Posix } from '../../../native/posix.ts';
import { ProcBoundSockets } from './proc-bound-sockets.ts';

export interface KernelSocketsDeps {
  readonly posix: Pick<Posix, 'openBoundSockets'>;
  readonly log: Log;
  readonly withUdp: boolean;
  /** Run what reads the tables, which are those of the namespace that this thread is in. */
  within?<T>(read: () => T): T;
}

export class KernelSockets implements BoundSockets {
  private readonly deps: KernelSocketsDeps;
  private source: BoundSockets;
  private isKnown = false;

  /** @throws PosixError */
  constructor(deps: KernelSocketsDeps) {
    this.deps = deps;
    this.source = deps.posix.openBoundSockets(deps.withUdp);
  }

  read(hasEnded?: HasEnded): readonly BoundSocket[] | 'same' | undefined {
    const read = this.source.read(hasEnded);
    if (this.isKnown || read !== undefined) {
      this.isKnown = true;
      return read;
    }
    this.isKnown = true;
    this.source.close();
    this.source = this.tables();
    return this.source.read();
  }

  close(): void {
    this.source.close();
  }

  private tables(): BoundSockets {
    const { log, withUdp, within } = this.deps;
    const why = 'the kernel has no diagnosis of TCP sockets (tcp_diag)';
    log.info({ why }, READ_FROM_TABLES);
    const tables = new ProcBoundSockets(withUdp);
    if (within === undefined) return tables;
    return { read: () => within(() => tables.read()), close: () => {} };
  }
}

export const READ_FROM_TABLES = 'sockets that listen are read from /proc/net/tcp, which costs more';
