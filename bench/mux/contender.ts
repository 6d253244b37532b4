/**
 * What the benchmark asks of a multiplexer, each over one Unix socket between two processes. The
 * server's behaviour is chosen by the first byte of a channel: it takes bytes and answers with one
 * byte at the end (`SINK`), echoes (`ECHO`), or never reads (`STALL`).
 */
import { setTimeout as sleep } from 'node:timers/promises';

export const SINK = 0x53;
export const ECHO = 0x45;
export const STALL = 0x4c;

export interface BenchChannel {
  /** Send `total` bytes in chunks of 64 KiB, then end; resolves once the server has read them all. */
  bulk(total: number): Promise<void>;
  /** One echo of a small message. */
  ping(): Promise<void>;
  close(): void;
  /** Send until no more is taken for `ms`. @returns bytes taken */
  stuff(ms: number): Promise<number>;
}

export interface BenchClient {
  open(kind: number): Promise<BenchChannel>;
  close(): void;
}

export interface Contender {
  readonly name: string;
  /** Runs in the server's process; resolves once it listens. */
  serve(path: string): Promise<void>;
  connect(path: string): Promise<BenchClient>;
  /** Bytes in use that it allocated once for all, where V8 does not see what they are used for. */
  ownMemory?(): number;
}

export const CHUNK_LEN: number = 64 << 10;
export const CHUNK: Uint8Array = Buffer.alloc(CHUNK_LEN, 'hawser');
export const MESSAGE: Uint8Array = Buffer.alloc(64, 'x');

/**
 * Send chunks until there was no drain for `ms`.
 *
 * @param send a chunk; false to wait for a drain
 * @returns bytes taken
 */
export async function stuffUntilFull(
  ms: number,
  send: () => boolean,
  listen: (onDrain: () => void) => void,
): Promise<number> {
  let onDrain: () => void = () => undefined;
  listen(() => onDrain());
  for (let taken = CHUNK_LEN; ; taken += CHUNK_LEN) {
    const drained = new Promise<boolean>((resolve) => {
      onDrain = (): void => resolve(true);
    });
    if (!send() && !(await Promise.race([drained, sleep(ms, false)]))) return taken;
  }
}
