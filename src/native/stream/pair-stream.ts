/** {@link HostStream} over two that each go one way: standard input and output. */
import type { HostStream, HostStreamOwner } from './host-stream.ts';

export class PairStream implements HostStream {
  private readonly reading: HostStream;
  private readonly writing: HostStream;
  private isClosed = false;

  /** Both belong to it from now on. */
  constructor(reading: HostStream, writing: HostStream) {
    this.reading = reading;
    this.writing = writing;
  }

  get remoteAddress(): string | undefined {
    return this.reading.remoteAddress;
  }

  get remotePort(): number | undefined {
    return this.reading.remotePort;
  }

  get localAddress(): string | undefined {
    return this.reading.localAddress;
  }

  get localPort(): number | undefined {
    return this.reading.localPort;
  }

  get peerUid(): number | undefined {
    return this.reading.peerUid;
  }

  get isPeerGone(): boolean {
    return this.reading.isPeerGone;
  }

  start(owner: HostStreamOwner, paused?: boolean, buffer?: Uint8Array): void {
    const onHostClosed = (code: string | undefined): void => {
      if (this.isClosed) return;
      this.close();
      owner.onHostClosed(code);
    };
    this.reading.start(
      {
        onHostBytes: (bytes, len) => owner.onHostBytes(bytes, len),
        onHostEnd: () => owner.onHostEnd(),
        onHostWritten: () => {},
        onHostClosed,
      },
      paused,
      buffer,
    );
    // Never read: it may be the reader's own end of one socket.
    this.writing.start(
      {
        onHostBytes: () => false,
        onHostEnd: () => {},
        onHostWritten: () => owner.onHostWritten(),
        onHostClosed,
      },
      true,
    );
  }

  write(bytes: Uint8Array, off?: number, len?: number): boolean {
    return this.writing.write(bytes, off, len);
  }

  setSendBuffer(bytes: number): boolean {
    return this.writing.setSendBuffer(bytes);
  }

  end(): void {
    this.writing.end();
  }

  pause(): void {
    this.reading.pause();
  }

  resume(): void {
    this.reading.resume();
  }

  reset(): void {
    this.close();
  }

  close(): void {
    this.isClosed = true;
    this.reading.close();
    this.writing.close();
  }
}
