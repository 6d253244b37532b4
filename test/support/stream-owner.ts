/** The owner of a host stream that records its events. */
import type { HostStream, HostStreamOwner } from '../../src/native/stream/host-stream.ts';

export class StreamOwner implements HostStreamOwner {
  readonly chunks: Buffer[] = [];
  /** Whether reading goes on after the next chunk. */
  reads = true;
  ended = false;
  written = 0;
  closes: (string | undefined)[] = [];
  private readonly onOver: () => void;

  /** @param onOver called when the stream has closed */
  constructor(onOver: () => void = () => {}) {
    this.onOver = onOver;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }

  onHostBytes(bytes: Uint8Array, len: number): boolean {
    this.chunks.push(Buffer.from(bytes.subarray(0, len)));
    return this.reads;
  }

  onHostEnd(): void {
    this.ended = true;
  }

  onHostWritten(): void {
    this.written++;
  }

  onHostClosed(code: string | undefined): void {
    this.closes.push(code);
    this.onOver();
  }
}

/** Say something, or nothing, and end; `onOver` follows when the peer has ended too. */
export function answerAndEnd(stream: HostStream, text: string, onOver: () => void): void {
  stream.start(new StreamOwner(onOver));
  if (text !== '') stream.write(Buffer.from(text));
  stream.end();
}
