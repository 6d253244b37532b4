/** Streams of the embedding program, which belong to one link or one flow, of whichever network: two would read and write the same bytes. */
import type { Duplex } from 'node:stream';

const inUse = new WeakSet<Duplex>();

/** @returns why it cannot be used; undefined: it is the caller's from now on */
export function takeStream(duplex: Duplex): string | undefined {
  const { readable, writable, readableObjectMode, readableEncoding } = duplex;
  if (inUse.has(duplex)) return 'the stream is in use already, by a link or a flow';
  if (!readable || !writable) return 'it must be readable and writable';
  if (readableObjectMode || readableEncoding !== null) {
    const what = readableObjectMode ? 'objects' : 'text';
    return `it must be a stream of bytes, not of ${what}`;
  }
  inUse.add(duplex);
  return undefined;
}

/** Nobody has read it, nor will. */
export function giveStreamBack(duplex: Duplex): void {
  inUse.delete(duplex);
}

export const isStreamInUse = (duplex: Duplex): boolean => inUse.has(duplex);

/** End what cannot be used; some streams have an error of their own then, which is nobody's. */
export function discardStream(duplex: Duplex): void {
  duplex.on('error', ignore);
  duplex.destroy();
}

const ignore = (): void => {};
