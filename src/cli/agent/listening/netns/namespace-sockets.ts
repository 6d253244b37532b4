/**
 * The sockets that listen in the agent's network namespace and in others, as one source. A socket for diagnosis belongs to
 * the namespace that it was opened in, so this thread enters each once, and whenever it dials something there.
 */
import { closeSync, openSync } from 'node:fs';
import type { Log } from '../../../../base/log.ts';
import type { Clock } from '../../../../base/time.ts';
import type { BoundSocket, BoundSockets, Posix } from '../../../../native/posix.ts';
import { watchEnds } from '../ends.ts';
import { KernelSockets } from '../kernel-sockets.ts';
import { LinuxNamespaceFiles } from './namespace-files.ts';
import { NAMESPACES_MAX, type Namespace, type NamespaceFiles, Namespaces } from './namespaces.ts';

export interface NamespaceSocketsDeps {
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
  readonly posix: Posix;
  /** Those of the agent's own namespace. */
  readonly own: BoundSockets;
  /** Whether all namespaces are looked at, or those that have a name. */
  readonly withUnnamed: boolean;
  readonly files?: NamespaceFiles;
}

interface Opened {
  readonly namespace: Namespace;
  /** It holds the namespace open. */
  readonly fd: number;
  readonly sockets: KernelSockets;
  readonly ends: { close(): void };
  last: readonly BoundSocket[];
}

export class NamespaceSockets implements BoundSockets {
  private readonly deps: NamespaceSocketsDeps;
  private readonly namespaces: Namespaces;
  private readonly opened = new Map<number, Opened>();
  private readonly homes = new WeakMap<BoundSocket, Namespace>();
  private ownLast: readonly BoundSocket[] = [];
  private isOther = false;
  private wasLeftOut = false;
  private lastProblem = '';
  private onEnd: ((port: number) => void) | undefined = undefined;

  constructor(deps: NamespaceSocketsDeps) {
    this.deps = deps;
    const { clock, withUnnamed, files = new LinuxNamespaceFiles() } = deps;
    this.namespaces = new Namespaces({
      ...{ clock, withUnnamed, files },
      onFound: (namespace, path) => this.open(namespace, path, files),
      onLost: ({ inode }) => this.release(inode),
    });
  }

  read(): readonly BoundSocket[] | 'same' | undefined {
    const own = this.deps.own.read();
    if (own === undefined) return undefined;
    this.isOther = own !== 'same';
    if (own !== 'same') this.ownLast = own;
    this.namespaces.look();
    this.reportLeftOut();
    for (const one of this.opened.values()) this.readOne(one);
    if (!this.isOther) return 'same';
    return [...this.ownLast, ...[...this.opened.values()].flatMap(({ last }) => last)];
  }

  /** @returns undefined: the agent's own */
  namespaceOf(socket: BoundSocket): Namespace | undefined {
    return this.homes.get(socket);
  }

  /** Of every namespace. */
  watchEnds(onEnd: (port: number) => void): { close(): void } {
    this.onEnd = onEnd;
    return watchEnds(this.deps.posix, this.deps.log, onEnd);
  }

  /**
   * What `run` opens belongs to that namespace. It may not wait for anything.
   *
   * @throws PosixError, also when the namespace has ended
   */
  within<T>(inode: number, run: () => T): T {
    const path = `/proc/self/fd/${this.opened.get(inode)?.fd ?? -1}`;
    return this.deps.posix.inNetns(path, run);
  }

  close(): void {
    for (const inode of [...this.opened.keys()]) this.release(inode);
    this.deps.own.close();
  }

  private readOne(one: Opened): void {
    const read = one.sockets.read();
    if (read === undefined || read === 'same') return;
    for (const socket of read) this.homes.set(socket, one.namespace);
    one.last = read;
    this.isOther = true;
  }

  private open(namespace: Namespace, path: string, files: NamespaceFiles): void {
    const { posix, log } = this.deps;
    const { inode } = namespace;
    let fd = -1;
    try {
      fd = openSync(path, 'r');
      const entered = `/proc/self/fd/${fd}`;
      if (files.inodeOf(entered) !== inode) throw new Error(`${path} is another by now`);
      const onEnd = (port: number): void => this.onEnd?.(port);
      const within = <T>(run: () => T): T => posix.inNetns(entered, run);
      const [sockets, ends] = within(() => [
        new KernelSockets({ posix, log, withUdp: false, within }),
        watchEnds(posix, log, onEnd),
      ]);
      this.opened.set(inode, { namespace, fd, sockets, ends, last: [] });
    } catch (error) {
      if (fd >= 0) closeSync(fd);
      const why = error instanceof Error ? error.message : String(error);
      if (why !== this.lastProblem) {
        log.warn({ why }, 'what listens in a network namespace is not seen');
      }
      this.lastProblem = why;
    }
  }

  private release(inode: number): void {
    const one = this.opened.get(inode);
    if (one === undefined) return;
    this.opened.delete(inode);
    this.isOther = true;
    one.ends.close();
    one.sockets.close();
    closeSync(one.fd);
  }

  private reportLeftOut(): void {
    const { leftOut } = this.namespaces;
    if (leftOut > 0 && !this.wasLeftOut) {
      const fields = { namespaces: NAMESPACES_MAX, leftOut };
      this.deps.log.warn(fields, 'so many network namespaces are looked at, and no more');
    }
    this.wasLeftOut = leftOut > 0;
  }
}
