import assert from 'node:assert/strict';
import type { HostStream, HostStreamOwner } from '../../../src/native/stream/host-stream.ts';

/** The host's side: a kernel that takes what it is given at once, or later. */
export class RecordedHost implements HostStream {
  readonly remoteAddress = undefined;
  readonly remotePort = undefined;
  readonly localAddress = undefined;
  readonly localPort = undefined;
  readonly peerUid = undefined;
  readonly isPeerGone = false;
  readonly calls: string[] = [];
  private readonly got: Buffer[] = [];
  private owner: HostStreamOwner | undefined = undefined;
  isBusy = false;
  private isWriting = false;

  get received(): string {
    return Buffer.concat(this.got).toString('latin1');
  }
  start(owner: HostStreamOwner): void {
    this.owner = owner;
  }
  write(bytes: Uint8Array, off = 0, len: number = bytes.length): boolean {
    assert.ok(len > 0, 'nothing is not written');
    this.got.push(Buffer.from(bytes.slice(off, off + len)));
    this.isWriting = this.isBusy;
    return !this.isBusy;
  }
  catchUp(): void {
    while (this.isWriting) {
      this.isWriting = false;
      this.owner?.onHostWritten();
    }
  }
  says(text: string): void {
    const bytes = Buffer.from(text, 'latin1');
    this.owner?.onHostBytes(bytes, bytes.length);
  }
  setSendBuffer(): boolean {
    return true;
  }
  end(): void {
    this.calls.push('end');
  }
  pause(): void {}
  resume(): void {}
  reset(): void {
    this.calls.push('reset');
  }
  close(): void {}
}
