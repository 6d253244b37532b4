/**
 * The body of a request. Node's server hands over the connection of one for another protocol (`Upgrade`) behind its head,
 * with the body still in it; from version 26 on it reads the body itself, as that of any request, and hands over what
 * follows. Here it is read up to its last byte, and what follows is left in the connection.
 */
import type { IncomingMessage } from 'node:http';
import { type Duplex, Readable } from 'node:stream';
import { HttpReader } from '../../services/sniff/http-reader.ts';

export interface Body extends Readable {
  /** All of it has come. */
  readonly complete: boolean;
}

const IS_READ_BY_NODE = Number.parseInt(process.versions.node, 10) >= 26;

/** @returns undefined: it has none */
export const bodyOf = (request: IncomingMessage): Body | undefined => {
  const { headers } = request;
  const hasBody =
    headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
  return hasBody ? request : undefined;
};

/**
 * Of a request that Node's server has handed over.
 *
 * @param connection behind its head
 */
export function bodyIn(connection: Duplex, request: IncomingMessage): Body | undefined {
  const body = bodyOf(request);
  return IS_READ_BY_NODE || body === undefined ? body : new UnreadBody(connection, request);
}

class UnreadBody extends Readable implements Body {
  complete = false;
  private readonly connection: Duplex;
  private readonly reader: HttpReader;
  private parts: Uint8Array[] = [];
  private isWanted = false;

  constructor(connection: Duplex, request: IncomingMessage) {
    super();
    this.connection = connection;
    this.reader = new HttpReader(
      () => true,
      (bytes, from, to) => this.parts.push(bytes.subarray(from, to)),
    );
    connection.on('readable', this.onReadable).once('end', this.onEnd).once('close', this.onEnd);
    this.takeBytes(Buffer.from(framingOf(request), 'latin1'));
  }

  override _read(): void {
    this.isWanted = true;
    this.draw();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.leave();
    done(error);
  }

  private readonly onReadable = (): void => this.draw();

  private readonly onEnd = (): void => {
    this.destroy(new Error('the client has ended in the middle of the body'));
  };

  private draw(): void {
    while (this.isWanted && !this.complete && !this.destroyed) {
      const bytes = this.connection.read() as Buffer | null;
      if (bytes === null) return;
      this.takeBytes(bytes);
    }
  }

  private takeBytes(bytes: Buffer): void {
    const { reader, connection } = this;
    const step = reader.push(bytes, 0, bytes.length);
    if (step !== 'more' && step !== 'again') {
      this.destroy(new Error(`the body cannot be read: ${step}`));
      return;
    }
    const body = Buffer.concat(this.parts);
    this.parts = [];
    if (step === 'again') {
      this.complete = true;
      this.leave();
      if (reader.at < bytes.length) connection.unshift(bytes.subarray(reader.at));
    }
    if (body.length > 0) this.isWanted = this.push(body);
    if (this.complete) this.push(null);
  }

  private leave(): void {
    const { connection, onReadable, onEnd } = this;
    connection.off('readable', onReadable).off('end', onEnd).off('close', onEnd);
  }
}

/** A head that frames the body as the request's own does, which Node has found sound. */
function framingOf({ headers }: IncomingMessage): string {
  const framing =
    headers['transfer-encoding'] === undefined
      ? `Content-Length: ${headers['content-length']}`
      : 'Transfer-Encoding: chunked';
  return `POST / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n${framing}\r\n\r\n`;
}
