/** libuv's handle of datagrams as Node wraps it: internal to Node, typed here as far as `source-address.ts` uses it. */
import type { SocketName } from './stream/bindings.ts';

/** Calls return 0, or a negative errno. */
export interface DatagramHandle {
  connect(address: string, port: number): number;
  connect6(address: string, port: number): number;
  getsockname(out: SocketName): number;
  close(): void;
}

export interface DatagramBindings {
  readonly UDP: new () => DatagramHandle;
}

/** Null in a Node that does not have them. */
export const DATAGRAM_BINDINGS: DatagramBindings | null = load();

function load(): DatagramBindings | null {
  const binding: unknown = Reflect.get(process, 'binding');
  if (typeof binding !== 'function') return null;
  try {
    const all: unknown = binding.call(process, 'udp_wrap');
    return isComplete(all) ? all : null;
  } catch {
    return null; // no such binding
  }
}

function isComplete(all: unknown): all is DatagramBindings {
  if (typeof all !== 'object' || all === null || !('UDP' in all)) return false;
  const { UDP } = all;
  if (typeof UDP !== 'function') return false;
  const methods: object = UDP.prototype;
  return ['connect', 'connect6', 'getsockname', 'close'].every((name) => name in methods);
}
