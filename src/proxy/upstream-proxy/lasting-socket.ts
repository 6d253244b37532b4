/**
 * A socket that that its peer has reset fails once there is nothing more to read: a server that has answered a request before its
 * body was whole, and closed, has its answer read, although the rest of the body finds no one (RFC 9112 §9.6).
 */
import { Socket } from 'node:net';
import { errorCode } from '../../native/errors.ts';

/** Reads see it too, behind what the peer has sent. */
const PEER_GONE: ReadonlySet<string> = new Set(['EPIPE', 'ECONNRESET']);

type Done = (error?: Error | null) => void;

export class LastingSocket extends Socket {
  private hasEnded = false;

  constructor(options: { readonly allowHalfOpen: boolean }) {
    super(options);
    this.once('end', () => {
      this.hasEnded = true;
    });
  }

  override _write(chunk: unknown, encoding: BufferEncoding, done: Done): void {
    super._write(chunk, encoding, (error) => this.finish(error, done));
  }

  override _writev(
    chunks: { readonly chunk: unknown; readonly encoding: BufferEncoding }[],
    done: Done,
  ): void {
    super._writev?.([...chunks], (error) => this.finish(error, done));
  }

  private finish(error: Error | null | undefined, done: Done): void {
    if (error && !this.hasEnded && PEER_GONE.has(errorCode(error)))
      this.once('end', () => done(error));
    else done(error);
  }
}
