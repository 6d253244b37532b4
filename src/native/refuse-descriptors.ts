/**
 * The peer of a Unix socket can pass descriptors along, which the kernel gives up when their bytes are read by someone who
 * does not ask for them. To give up the last reference to a TCP socket that lingers is to wait for it, as long as its
 * owner likes: the whole process would. Since Linux 6.16 a socket can refuse such messages, and those that it accepts do.
 */
import type { Server } from 'node:net';
import { NativeUnavailableError } from './errors.ts';
import { loadPosix } from './load.ts';

/** After readiness, because koffi may have to be loaded; before a launcher has started anything that connects. */
const SOON_MS = 25;

const waiting = new WeakMap<Server, NodeJS.Timeout>();

/** @param server listening on a Unix socket */
export function refuseDescriptors(server: Server): void {
  const timer = setTimeout(() => {
    const handle: unknown = Reflect.get(server, '_handle');
    const fd = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : -1;
    if (typeof fd !== 'number' || fd < 0) return;
    try {
      loadPosix('refuse descriptors').refuseDescriptors(fd);
    } catch (error) {
      if (!(error instanceof NativeUnavailableError)) throw error;
    }
  }, SOON_MS).unref();
  waiting.set(server, timer);
}

/** It asks for them: undo the above, in the same turn. */
export const acceptDescriptors = (server: Server): void => clearTimeout(waiting.get(server));
