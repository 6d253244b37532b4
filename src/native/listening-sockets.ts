/**
 * The TCP sockets that listen in this network namespace: by the kernel's diagnosis, once native calls are loaded and where
 * it has one, else by /proc. The kernel's text is made of its whole table of connections, which takes it up to 40 ms.
 */
import { allListening, type ListeningEntry, PROC_TABLES } from './listening-tables.ts';
import { loadedPosix } from './load.ts';
import type { BoundSockets, Posix } from './posix.ts';

export interface ListeningSources {
  /** Undefined: native calls are not loaded. */
  posix(): Pick<Posix, 'openBoundSockets'> | undefined;
  tables(): readonly ListeningEntry[] | undefined;
}

const OF_SYSTEM: ListeningSources = {
  posix: loadedPosix,
  tables: () => allListening(PROC_TABLES),
};

export class ListeningSockets {
  private readonly sources: ListeningSources;
  private source: BoundSockets | undefined = undefined;
  private hasDiagnosis = true;
  private entries: readonly ListeningEntry[] = [];

  constructor(sources: ListeningSources = OF_SYSTEM) {
    this.sources = sources;
  }

  /** @returns undefined when they cannot be read now */
  read(): readonly ListeningEntry[] | undefined {
    return this.diagnosed() ?? this.sources.tables();
  }

  private diagnosed(): readonly ListeningEntry[] | undefined {
    const { source } = this;
    const opened = source ?? this.open();
    const sockets = opened?.read();
    if (sockets === 'same') return this.entries;
    if (sockets === undefined) {
      // The first time: the kernel has no module tcp_diag. Later, as when memory is short, it may again.
      if (source === undefined) opened?.close();
      if (source === undefined && opened !== undefined) this.hasDiagnosis = false;
      return undefined;
    }
    this.source = opened;
    this.entries = sockets.map(({ address, port, inode }) => {
      return { address: address.toString(), port, inode: String(inode) };
    });
    return this.entries;
  }

  private open(): BoundSockets | undefined {
    if (!this.hasDiagnosis) return undefined;
    try {
      return this.sources.posix()?.openBoundSockets(false);
    } catch {
      return undefined; // no descriptor is left
    }
  }
}

/** For all of the process: it keeps a descriptor. */
export const LISTENING_SOCKETS: ListeningSockets = new ListeningSockets();
